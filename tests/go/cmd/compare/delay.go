package main

import (
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// startDelay starts a proxy that adds a round trip's latency: each direction holds bytes back for half of it.
func startDelay(upstream string, ms float64) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	oneWay := time.Duration(ms * float64(time.Millisecond) / 2)
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", upstream)
			check(err)
			go hold(near, far, oneWay)
			go hold(far, near, oneWay)
		}
	}()
	return listener
}

type held struct {
	data []byte
	due  time.Time
}

// hold carries bytes from one connection to the other. Its thread sleeps by itself: Go's timers are too coarse.
func hold(from, to net.Conn, delay time.Duration) {
	queue := make(chan held, 1<<16)
	go func() {
		defer close(queue)
		for {
			data := make([]byte, 64<<10)
			count, err := from.Read(data)
			if err != nil {
				return
			}
			queue <- held{data[:count], time.Now().Add(delay)}
		}
	}()
	runtime.LockOSThread()
	for part := range queue {
		if rest := time.Until(part.due); rest > 0 {
			pause := unix.NsecToTimespec(int64(rest))
			unix.Nanosleep(&pause, nil)
		}
		if _, err := to.Write(part.data); err != nil {
			break
		}
	}
	from.Close()
	to.Close()
}
