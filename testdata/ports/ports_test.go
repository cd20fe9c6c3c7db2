package ports_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/berth-dev/berth/testdata/ports"
)

// TestReserve: a port that is kept is nobody's but a server's that names it.
func TestReserve(t *testing.T) {
	t.Parallel()
	port, free, err := ports.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for range 2 { // an app that starts again
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	if err := bind(port); err != syscall.EADDRINUSE {
		t.Errorf("bound by one who does not share it: %v", err)
	}
}

// bind takes a port for itself alone, as the kernel does that chooses one.
func bind(port int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}
