package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/berth-dev/berth/orchestrator"
)

// Check looks at the database at path without changing it, also while a serve
// uses it: whether it can be read, is whole, and is of a version that this
// Berth knows. It answers with fs.ErrNotExist where there is none yet.
func Check(ctx context.Context, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s := &Store{path: path}
	db, err := sql.Open("sqlite", dsn(path, "_pragma=query_only(1)"))
	if err != nil {
		return s.fail(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return s.fail(err)
	}
	if verdict != "ok" {
		return &orchestrator.Error{Code: orchestrator.CodeInternal, Message: fmt.Sprintf("%s is damaged (%s).", path, verdict),
			Hint: "restore it from a backup, or move it away to start with an empty one"}
	}
	var has int64
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&has); err != nil {
		return &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: err, Message: fmt.Sprintf("%s is not a Berth database.", path),
			Hint: "restore it from a backup, or move it away to start with an empty one"}
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if knows := int64(len(files)); has > knows {
		return newer(path, has, knows)
	}
	return nil
}

func newer(path string, has, knows int64) error {
	return &orchestrator.Error{Code: orchestrator.CodeInternal,
		Message: fmt.Sprintf("The database %s was written by a newer Berth (its tables are at version %d, this Berth knows %d).", path, has, knows),
		Hint:    "install that version of Berth again, or start with an empty folder: --data DIR"}
}
