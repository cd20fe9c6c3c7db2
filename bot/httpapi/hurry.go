package httpapi

import (
	"io"
	"net/http"
	"time"
)

// Hurry gives the body of each request so long to come. Without, whoever
// reaches the port could keep connections open for ever by a byte now and then.
// A limit for the whole of a request, as http.Server has, would also end
// those that wait for their answer, as agents do.
func Hurry(within time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			conn := http.NewResponseController(w)
			if conn.SetReadDeadline(time.Now().Add(within)) == nil {
				r.Body = &hurried{r.Body, conn}
			}
		}
		h.ServeHTTP(w, r)
	})
}

// hurried is a body that has a deadline until it has come.
type hurried struct {
	io.ReadCloser
	conn *http.ResponseController
}

func (b *hurried) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.conn.SetReadDeadline(time.Time{}) // it could be set
	}
	return n, err
}
