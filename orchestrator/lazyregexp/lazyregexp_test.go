package lazyregexp

import "testing"

func TestNew(t *testing.T) {
	t.Parallel()
	if r := New(`^(\w+)=`); r.FindStringSubmatch("name=qa")[1] != "name" || r.String() != `^(\w+)=` {
		t.Errorf("%q does not do what regexp's does", r)
	}
	defer func() {
		if recover() == nil {
			t.Error("in a test, a wrong expression went through")
		}
	}()
	New(`(`)
}
