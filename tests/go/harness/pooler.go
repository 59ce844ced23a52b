package harness

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// LossyPooler stands before PostgreSQL and is where it says; what PostgreSQL sends of its own accord, it loses, as a pooler
// does that gives a client another session for each transaction.
func LossyPooler(t testing.TB, p *Postgres) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return servePooler(t, p, listener, true)
}

// TCP is where PostgreSQL is on a port of 127.0.0.1, by whatever name; host comes first.
func (p *Postgres) TCP(t testing.TB, host string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(servePooler(t, p, listener, false), "host=127.0.0.1", "host="+host, 1)
}

func servePooler(t testing.TB, p *Postgres, listener net.Listener, isLossy bool) string {
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go pool(isLossy, client, filepath.Join(p.dir, ".s.PGSQL.5432"))
		}
	}()
	return fmt.Sprintf("host=127.0.0.1 port=%d user=asynq dbname=asynq sslmode=disable gssencmode=disable",
		listener.Addr().(*net.TCPAddr).Port)
}

func pool(isLossy bool, client net.Conn, path string) {
	defer client.Close()
	server, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	for head := make([]byte, 5); ; {
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		if isLossy && head[0] == 'A' { // a notification
			continue
		}
		if _, err := client.Write(append(append([]byte{}, head...), body...)); err != nil {
			return
		}
	}
}
