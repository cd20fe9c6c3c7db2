package agent

import "strings"

// dotenv reads an .env file: KEY=VALUE lines, `export` allowed before the key,
// # comments, values bare, in single quotes (as they are) or in double quotes
// (\n, \t, \r, \", \\ and \$ known; they may go over several lines). Nothing
// is expanded. A later key wins; skipped are the numbers of lines that are
// none of this.
func dotenv(text string) (pairs []string, skipped []int) {
	values := map[string]string{}
	var order []string
	text = strings.TrimPrefix(text, "\ufeff")
	for line := 1; text != ""; line++ {
		var row string
		row, text, _ = strings.Cut(text, "\n")
		row = strings.TrimSpace(row)
		if row == "" || row[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(row, "export"); ok && rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
			row = strings.TrimSpace(rest)
		}
		key, value, ok := strings.Cut(row, "=")
		key = strings.TrimSpace(key)
		if !ok || !isEnvKey(key) || strings.ContainsRune(value, 0) {
			skipped = append(skipped, line)
			continue
		}
		value = strings.TrimSpace(value)
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			read, lines, rest, ok := quoted(value, text)
			if ok {
				value, text = read, rest
				line += lines
			}
		} else if i := strings.Index(value, " #"); i >= 0 {
			value = strings.TrimSpace(value[:i])
		}
		if _, known := values[key]; !known {
			order = append(order, key)
		}
		values[key] = value
	}
	for _, key := range order {
		if !strings.ContainsRune(values[key], 0) {
			pairs = append(pairs, key+"="+values[key])
		}
	}
	return pairs, skipped
}

// quoted reads a value that begins with a quote; later holds the lines after
// it. A quote that never ends is a part of the value.
func quoted(value, later string) (read string, lines int, rest string, ok bool) {
	quote := value[0]
	row, rest := value[1:], later
	var b strings.Builder
	for {
		for i := 0; i < len(row); i++ {
			c := row[i]
			if c == quote {
				return b.String(), lines, rest, true
			}
			if c == '\\' && quote == '"' && i+1 < len(row) {
				i++
				switch row[i] {
				case 'n':
					c = '\n'
				case 't':
					c = '\t'
				case 'r':
					c = '\r'
				case '"', '\\', '$', '\'':
					c = row[i]
				default:
					b.WriteByte('\\')
					c = row[i]
				}
			}
			b.WriteByte(c)
		}
		if rest == "" {
			return "", 0, later, false
		}
		row, rest, _ = strings.Cut(rest, "\n")
		row = strings.TrimSuffix(row, "\r")
		b.WriteByte('\n')
		lines++
	}
}

func isEnvKey(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '.' && c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}
