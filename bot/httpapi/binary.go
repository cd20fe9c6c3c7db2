package httpapi

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// binary gives new machines the agent, or its checksum in the form of
// sha256sum. It holds no secret, so anybody may have it.
func (a *Agents) binary(w http.ResponseWriter, r *http.Request) {
	platform, sum := strings.CutSuffix(r.PathValue("name"), ".sha256")
	path, err := a.Binary(platform)
	if err != nil {
		a.Log.Warn("a machine asks for an agent that there is not: berth doctor tells more", "platform", clip(platform), "from", r.RemoteAddr, "error", err)
		http.Error(w, "there is no agent for "+platform+" here", http.StatusNotFound)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		a.broken(w, r, err)
		return
	}
	defer f.Close()
	if !sum {
		http.ServeContent(w, r, "", time.Time{}, f)
		return
	}
	text, err := a.sums.of(f)
	if err != nil {
		a.broken(w, r, err)
		return
	}
	fmt.Fprintf(w, "%s  %s\n", text, platform)
}

// checksums are those of files that have not changed since they were read:
// anybody may ask for them, as often as they like, and the files are large.
type checksums struct {
	mu    sync.Mutex
	known map[string]checksum
}

type checksum struct {
	of  identity
	sum string
}

// identity is what changes when a file's content does.
type identity struct {
	device, inode    uint64
	size             int64
	written, changed syscall.Timespec
}

// of gives the SHA-256 of an open file, in hex. One is read at a time.
func (c *checksums) of(f *os.File) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	is := identity{size: info.Size()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		is.device, is.inode, is.written, is.changed = uint64(s.Dev), s.Ino, s.Mtim, s.Ctim
	}
	if k, ok := c.known[f.Name()]; ok && k.of == is {
		return k.sum, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if c.known == nil {
		c.known = map[string]checksum{}
	}
	k := checksum{is, fmt.Sprintf("%x", h.Sum(nil))}
	c.known[f.Name()] = k
	return k.sum, nil
}
