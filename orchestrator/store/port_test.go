package store_test

import "net"

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
