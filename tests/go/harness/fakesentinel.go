package harness

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// FakeSentinel answers as it is told.
type FakeSentinel struct {
	Address  string
	listener net.Listener
	mutex    sync.Mutex
	answer   func(words []string) string // a reply in Redis's protocol; "": none, ever
	asked    atomic.Int64
	open     atomic.Int64
}

// StartFakeSentinel starts one on this host of the loopback interface; it ends with the test.
func StartFakeSentinel(t testing.TB, host string) *FakeSentinel {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	f := &FakeSentinel{Address: listener.Addr().String(), listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go f.serve(connection)
		}
	}()
	return f
}

// Names makes it name this address as the master's.
func (f *FakeSentinel) Names(address string) *FakeSentinel {
	return f.Says(MasterReply(address))
}

// MasterReply is how a sentinel names a master's address.
func MasterReply(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port)
}

// Says makes it answer each question for a master with this.
func (f *FakeSentinel) Says(reply string) *FakeSentinel {
	return f.Answers(func(words []string) string {
		if strings.EqualFold(words[0], "SENTINEL") {
			return reply
		}
		return "+OK\r\n"
	})
}

// Answers has a function answer all commands.
func (f *FakeSentinel) Answers(answer func(words []string) string) *FakeSentinel {
	f.mutex.Lock()
	f.answer = answer
	f.mutex.Unlock()
	return f
}

// Asked is how many commands it was sent.
func (f *FakeSentinel) Asked() int { return int(f.asked.Load()) }

// Open is how many connections it has now.
func (f *FakeSentinel) Open() int { return int(f.open.Load()) }

func (f *FakeSentinel) serve(connection net.Conn) {
	f.open.Add(1)
	defer f.open.Add(-1)
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for {
		command, err := ReadCommand(reader, nil)
		if err != nil {
			return
		}
		f.asked.Add(1)
		f.mutex.Lock()
		answer := f.answer
		f.mutex.Unlock()
		if answer != nil {
			fmt.Fprint(connection, answer(command.Args))
		}
	}
}

// SentinelURI is the address of a master by way of these sentinels, with further parameters.
func SentinelURI(parameters string, sentinels ...*FakeSentinel) string {
	var addresses []string
	for _, f := range sentinels {
		addresses = append(addresses, f.Address)
	}
	return "redis-sentinel://" + strings.Join(addresses, ",") + "/0?master=" + MasterName + parameters
}

// StartRedisOnPort starts a Redis that listens on the loopback interface too, and returns its address.
func StartRedisOnPort(t testing.TB) (*Redis, string) {
	t.Helper()
	port := FreePort(t)
	return StartRedis(t, "--port", fmt.Sprint(port), "--bind", "127.0.0.1"), fmt.Sprint("127.0.0.1:", port)
}
