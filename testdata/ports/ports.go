// Package ports keeps ports of this machine for the programs of tests.
package ports

import (
	"os"
	"syscall"
)

// Reserve gives a TCP port that nothing listens on. Until free is called the
// kernel gives it to nobody who leaves the choice to it, neither to listen on
// nor for a connection; a program that names it, and sets SO_REUSEADDR as
// servers do, can listen on it.
func Reserve() (port int, free func(), err error) {
	syscall.ForkLock.RLock() // a child would keep it, too
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	syscall.CloseOnExec(fd)
	free = func() { _ = syscall.Close(fd) }
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		free()
		return 0, nil, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		free()
		return 0, nil, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		free()
		return 0, nil, os.NewSyscallError("getsockname", err)
	}
	return name.(*syscall.SockaddrInet4).Port, free, nil
}
