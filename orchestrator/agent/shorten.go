package agent

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// A report must fit into MaxBody, where every quote and line end of Salt's
// document takes two bytes, whatever a build has printed.
const (
	maxStdout = 3 << 20
	// longString is what stays of one string of the document, half of it from
	// its end, where errors stand; the more there is, the less stays.
	longString = 128 << 10
)

// document is salt-call's standard output. Salt gives all that a command
// printed as one string of its JSON: what is too long of a string is left out
// of its middle while it comes, so that the document stays JSON.
type document struct {
	mu       sync.Mutex
	buf      bytes.Buffer
	inString bool
	unit     []byte // an escape sequence that has begun
	head     int    // bytes of the string that were kept from its beginning
	tail     []byte // what came after them
	left     int    // bytes of the string that were left out
	overflow bool
}

func (d *document) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		switch {
		case !d.inString:
			i := bytes.IndexByte(p, '"') + 1
			if d.inString = i > 0; !d.inString {
				i = len(p)
			}
			d.put(p[:i])
			p = p[i:]
		case len(d.unit) > 0:
			d.unit = append(d.unit, p[0])
			if d.unit[1] != 'u' || len(d.unit) == 6 {
				d.keep(d.unit)
				d.unit = d.unit[:0]
			}
			p = p[1:]
		case p[0] == '\\':
			d.unit = append(d.unit, p[0])
			p = p[1:]
		case p[0] == '"':
			d.endString()
			d.put(p[:1])
			p = p[1:]
		default:
			i := bytes.IndexAny(p, `"\`)
			if i < 0 {
				i = len(p)
			}
			d.keep(p[:i])
			p = p[i:]
		}
	}
	return n, nil
}

func (d *document) put(p []byte) {
	if d.overflow = d.overflow || d.buf.Len()+len(p) > maxStdout; !d.overflow {
		d.buf.Write(p)
	}
}

// limit is how much of each half of a string stays.
func (d *document) limit() int {
	switch n := d.buf.Len(); {
	case n < maxStdout/3:
		return longString / 2
	case n < maxStdout*2/3:
		return longString / 64
	}
	return longString / 512
}

// keep takes a part of a string: plain bytes, or one escape sequence, which is
// never cut.
func (d *document) keep(part []byte) {
	limit := d.limit()
	if len(d.tail) == 0 && d.left == 0 && d.head < limit {
		n := len(part)
		if part[0] != '\\' {
			n = min(n, limit-d.head)
		}
		d.head += n
		d.put(part[:n])
		part = part[n:]
	}
	d.tail = append(d.tail, part...)
	if len(d.tail) > 2*limit+16 {
		d.trim(limit)
	}
}

// trim cuts the tail down to limit, between two units.
func (d *document) trim(limit int) {
	cut, least := 0, len(d.tail)-limit
	for cut < least {
		switch {
		case d.tail[cut] != '\\':
			if n := bytes.IndexByte(d.tail[cut:], '\\'); n >= 0 {
				cut = min(cut+n, least)
			} else {
				cut = least
			}
		case d.tail[cut+1] == 'u':
			cut += 6
		default:
			cut += 2
		}
	}
	d.left += cut
	d.tail = append(d.tail[:0], d.tail[cut:]...)
}

func (d *document) endString() {
	if limit := d.limit(); len(d.tail) > limit {
		d.trim(limit)
	}
	if d.left > 0 {
		d.put(fmt.Appendf(nil, `\n[%d bytes left out]\n`, d.left))
	}
	d.put(d.tail)
	d.inString, d.head, d.tail, d.left = false, 0, d.tail[:0], 0
}

func (d *document) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := d.buf.String()
	if d.inString { // cut off: what there is of it
		text += string(d.tail) + string(d.unit)
	}
	return strings.ToValidUTF8(text, "�")
}
