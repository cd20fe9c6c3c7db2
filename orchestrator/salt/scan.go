package salt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// Salt's output is JSON most of the time, but it can be cut off, have log lines
// or a recipe's own prints around it, and be large. This scanner finds the
// spans of values in place, without copying, and says how far it came when the
// text ends early, which encoding/json does not.

// maxNoise bounds what is kept of what is not understood, in bytes.
const maxNoise = 64 << 10

// maxDepth bounds nesting: Salt's own results are about ten levels deep.
const maxDepth = 512

// verdict is how the scan of a value ended.
type verdict int

const (
	whole  verdict = iota // the value ends at the returned index
	cut                   // the text ends inside the value
	broken                // what is there is no JSON
)

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue returns the index behind the value that starts at i.
func skipValue(b []byte, i, depth int) (int, verdict) {
	i = skipSpace(b, i)
	if i >= len(b) {
		return i, cut
	}
	switch c := b[i]; {
	case depth > maxDepth:
		return i, broken
	case c == '"':
		return skipString(b, i)
	case c == '{':
		return skipObject(b, i, depth)
	case c == '[':
		return skipArray(b, i, depth)
	case c == '-' || c >= '0' && c <= '9':
		for i < len(b) && strings.IndexByte("+-0123456789.eE", b[i]) >= 0 {
			i++
		}
		if i < len(b) && b[i] == 'I' { // -Infinity, which Python writes
			return skipWord(b, i)
		}
		return i, whole
	}
	return skipWord(b, i)
}

func skipWord(b []byte, i int) (int, verdict) {
	for _, w := range []string{"true", "false", "null", "NaN", "Infinity"} {
		if bytes.HasPrefix(b[i:], []byte(w)) {
			return i + len(w), whole
		}
		if rest := b[i:]; len(rest) < len(w) && strings.HasPrefix(w, string(rest)) {
			return len(b), cut
		}
	}
	return i, broken
}

func skipString(b []byte, i int) (int, verdict) {
	for i++; ; {
		i = special(b, i)
		if i >= len(b) {
			return len(b), cut
		}
		switch b[i] {
		case '"':
			return i + 1, whole
		case '\n':
			return i, broken
		}
		i++ // a backslash, and what it quotes
		if i < len(b) && b[i] != '\n' {
			i++
		}
	}
}

// special is the index of the next quotation mark, backslash or newline, or
// the text's length or more. It looks at eight bytes at a time: what programs
// print is full of short pieces, for which a search for each costs more.
func special(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash, line := x^'"'*ones, x^'\\'*ones, x^'\n'*ones
		// The lowest bit that is set belongs to a byte that is zero.
		if m := ((quote-ones)&^quote | (slash-ones)&^slash | (line-ones)&^line) & highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] != '\n' {
		i++
	}
	return i
}

func skipArray(b []byte, i, depth int) (int, verdict) {
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, whole
	}
	for {
		j, v := skipValue(b, i, depth+1)
		if v != whole {
			return j, v
		}
		j = skipSpace(b, j)
		if j >= len(b) {
			return j, cut
		}
		switch b[j] {
		case ',':
			i = j + 1
		case ']':
			return j + 1, whole
		default:
			return j, broken
		}
	}
}

func skipObject(b []byte, i, depth int) (int, verdict) {
	end, v := eachField(b, i, depth, nil)
	return end, v
}

// eachField calls f with each whole field of the object at i, in order; a
// value that is cut off is given too, with whole false.
func eachField(b []byte, i, depth int, f func(key string, val []byte, whole bool)) (int, verdict) {
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, whole
	}
	for {
		i = skipSpace(b, i)
		if i >= len(b) {
			return i, cut
		}
		if b[i] != '"' {
			return i, broken
		}
		j, v := skipString(b, i)
		if v != whole {
			return j, v
		}
		key := b[i:j]
		j = skipSpace(b, j)
		if j >= len(b) {
			return j, cut
		}
		if b[j] != ':' {
			return j, broken
		}
		start := skipSpace(b, j+1)
		end, v := skipValue(b, start, depth+1)
		if f != nil && v != broken && start < len(b) {
			f(text(key), b[start:end], v == whole)
		}
		if v != whole {
			return end, v
		}
		end = skipSpace(b, end)
		if end >= len(b) {
			return end, cut
		}
		switch b[end] {
		case ',':
			i = end + 1
		case '}':
			return end + 1, whole
		default:
			return end, broken
		}
	}
}

// fields calls f with each field of an object; it does nothing for another value.
func fields(val []byte, f func(key string, val []byte, whole bool)) {
	if len(val) > 0 && val[0] == '{' {
		eachField(val, 0, 0, f)
	}
}

// items gives the elements of an array, nil for another value.
func items(val []byte) [][]byte {
	if len(val) == 0 || val[0] != '[' {
		return nil
	}
	var out [][]byte
	i := skipSpace(val, 1)
	for i < len(val) && val[i] != ']' {
		end, v := skipValue(val, i, 1)
		if v == broken || end <= i {
			break
		}
		out = append(out, val[i:end])
		if v == cut {
			break
		}
		i = skipSpace(val, end)
		if i < len(val) && val[i] == ',' {
			i = skipSpace(val, i+1)
		}
	}
	return out
}

// maxText bounds what is decoded of one string, in bytes: a command may have
// printed all that the result is large by. The first third is kept, and the
// last two.
const maxText = 96 << 10

// shortened gives the two ends of a string that is too long.
func shortened(val []byte) (head, tail []byte) {
	n, m := maxText/3, len(val)-maxText*2/3
	if at, length := escape(val, n); at+length > n {
		n = at
	}
	if at, length := escape(val, m); at+length > m {
		m = at + length
	}
	return append(bytes.Clone(val[:n]), '"'), append([]byte{'"'}, val[m:]...)
}

// escape finds the last escape that begins before i, if there is one near.
func escape(val []byte, i int) (at, length int) {
	for back := 1; back <= 6; back++ {
		if val[i-back] != '\\' {
			continue
		}
		n := 0 // of the backslashes before it: an odd number makes it a plain one
		for val[i-back-n-1] == '\\' && i-back-n-1 > 0 {
			n++
		}
		if n%2 == 1 {
			back++
		}
		if val[i-back+1] == 'u' {
			return i - back, 6
		}
		return i - back, 2
	}
	return 0, 0
}

// text decodes a JSON string; another value is given as it is written. The
// result is always valid UTF-8.
func text(val []byte) string {
	val = bytes.TrimSpace(val)
	if len(val) == 0 || bytes.Equal(val, []byte("null")) {
		return ""
	}
	if val[0] != '"' {
		return strings.ToValidUTF8(string(val), "�")
	}
	if len(val) > maxText {
		head, tail := shortened(val)
		return text(head) + "\n" + text(tail)
	}
	if bytes.IndexByte(val, '\\') < 0 && len(val) >= 2 && val[len(val)-1] == '"' && utf8.Valid(val) {
		return string(val[1 : len(val)-1])
	}
	var s string
	if json.Unmarshal(val, &s) == nil {
		return s
	}
	// Control characters that Python let through, or a string that is cut off.
	s = strings.Trim(strings.ToValidUTF8(string(val), "�"), `"`)
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\"`, `"`, `\\`, `\`).Replace(s)
}

// document is a JSON value found in the output.
type document struct {
	val   []byte
	whole bool
}

// documents finds the JSON values in the output and what stands around them. A
// value may begin anywhere: a recipe can print without a newline before it.
func documents(b []byte) (docs []document, noise string) {
	var around []byte
	budget := 6*len(b) + 4096 // noise full of brackets must not cost quadratic time
	last := 0
	keep := func(to int) {
		if len(around) < maxNoise && to > last {
			part := b[last:to]
			if room := maxNoise - len(around); len(part) > room {
				part = part[:room]
			}
			around = append(append(around, part...), '\n')
		}
	}
	for i := 0; i < len(b) && budget > 0; i++ {
		if b[i] != '{' && b[i] != '[' || !opens(b, i) {
			continue
		}
		end, v := skipValue(b, i, 0)
		budget -= end - i + 1
		switch {
		case v == whole && (b[i] == '{' || list(b[i:end])) && (blank(b[max(last, bytes.LastIndexAny(b[:i], "\r\n")+1):i]) || nested(b[i:end])):
			keep(i)
			docs = append(docs, document{b[i:end], true})
			last, i = end, end-1
		case v == cut && promising(b[i:]):
			keep(i)
			return append(docs, document{b[i:], false}), clean(around)
		}
	}
	keep(len(b))
	return docs, clean(around)
}

// blank reports whether nothing is to be seen in a text: a byte order mark and
// colours are nothing.
func blank(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	for len(b) > 0 {
		switch {
		case b[0] == ' ' || b[0] == '\t':
			b = b[1:]
		case bytes.HasPrefix(b, []byte("\x1b[")):
			end := bytes.IndexFunc(b[2:], func(c rune) bool { return c >= '@' && c <= '~' })
			if end < 0 {
				return false
			}
			b = b[end+3:]
		default:
			return false
		}
	}
	return true
}

func clean(b []byte) string { return strings.TrimSpace(strings.ToValidUTF8(string(b), "�")) }

// opens says whether a bracket can begin one of Salt's documents.
func opens(b []byte, i int) bool {
	j := skipSpace(b, i+1)
	if j >= len(b) { // cut right behind it: only where nothing else is there
		return b[i] == '{' && skipSpace(b, 0) == i
	}
	if b[i] == '{' {
		return b[j] == '"' || b[j] == '}'
	}
	return b[j] == '"' || b[j] == '{' || b[j] == ']'
}

// list tells a document from brackets in a log line: a list counts when it has
// something in it and stands alone.
func list(val []byte) bool { return len(items(val)) > 0 }

// nested tells a document that something was printed before, on its line, from
// the examples of a manual and the values in a log line: those are flat.
func nested(val []byte) bool {
	for _, f := range object(val) {
		if f.key == "local" || first(f.val) == '{' || first(f.val) == '[' {
			return true
		}
	}
	for _, v := range items(val) {
		if first(v) == '{' && nested(v) {
			return true
		}
	}
	return false
}

// promising tells a cut document from a stray bracket: its first key is there.
func promising(b []byte) bool {
	if b[0] == '[' {
		return bytes.HasPrefix(bytes.TrimSpace(b[1:]), []byte(`"`)) || bytes.HasPrefix(bytes.TrimSpace(b[1:]), []byte(`{"`))
	}
	j := skipSpace(b, 1)
	end, v := skipString(b, j)
	if v != whole {
		return j <= 8
	}
	end = skipSpace(b, end)
	return end >= len(b) || b[end] == ':'
}
