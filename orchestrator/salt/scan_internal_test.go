package salt

import (
	"strings"
	"testing"
)

// Wherever in a piece of eight bytes a string's end or what hides it stands, it
// is found there.
func TestSkipString(t *testing.T) {
	t.Parallel()
	for shift := range 17 {
		lead := strings.Repeat("ü"[:1], shift)
		for _, tt := range []struct {
			in   string
			end  int // behind the lead and the quotation mark
			want verdict
		}{
			{`"`, 1, whole}, {`" x"`, 1, whole}, {`\""`, 3, whole}, {`\\"`, 3, whole}, {`\\\""x`, 5, whole}, {`\u00e9"`, 7, whole},
			{``, 0, cut}, {`abc`, 3, cut}, {`\`, 1, cut}, {`\"`, 2, cut}, {`\\\"`, 4, cut}, {"a\r\tb", 4, cut},
			{"\n\"", 0, broken}, {"ab\n", 2, broken}, {"\\\n\"", 1, broken}, {"\\\"\n", 2, broken},
		} {
			in := []byte(`"` + lead + tt.in)
			if end, v := skipString(in, 0); v != tt.want || end != 1+shift+tt.end {
				t.Errorf("%q: %d, %d; want %d, %d", in, end, v, 1+shift+tt.end, tt.want)
			}
		}
	}
}
