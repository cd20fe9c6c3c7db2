package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingCompiledAtStart: a regular expression of a package's own is
// compiled at its first use. Hundreds of them at the start were two thirds of
// what a short command took of a processor.
func TestNothingCompiledAtStart(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, root := range []string{"bot", "orchestrator", "templates", "modules"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "slackfake" || d.Name() == "diagnosetest"):
				return fs.SkipDir // stand-ins and tests
			case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				if vars, ok := decl.(*ast.GenDecl); ok && vars.Tok == token.VAR {
					seen++
					ast.Inspect(vars, func(n ast.Node) bool {
						if call, ok := n.(*ast.SelectorExpr); ok && strings.Contains(call.Sel.Name, "Compile") {
							if pkg, ok := call.X.(*ast.Ident); ok && pkg.Name == "regexp" {
								t.Errorf("%s: compiled at each start of berth; lazyregexp.New does it at its first use", files.Position(call.Pos()))
							}
						}
						return true
					})
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if seen < 100 {
		t.Errorf("only %d declarations were looked at", seen)
	}
}
