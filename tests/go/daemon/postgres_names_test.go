package daemon

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// deadNameServer is a shell's setup for a command whose only name server never answers, and is asked for half a minute.
func deadNameServer(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may listen as a name server")
	}
	address := fmt.Sprintf("127.66.%d.%d", os.Getpid()>>8&255, os.Getpid()&255)
	silent, err := net.ListenPacket("udp", address+":53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver "+address+"\noptions timeout:30 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return `set -- unshare --mount sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' ` + file + ` "$@"`
}

// TestPostgresNames: a name server that does not answer holds up neither the end of asynqd nor the other hosts of the list.
func TestPostgresNames(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	setup := deadNameServer(t)
	config := func(uri string) string {
		return strings.Replace(postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"), p.URI(), uri, 1)
	}
	d := StartDaemonAfter(t, setup, config("host=db.test user=asynq dbname=asynq"))
	time.Sleep(time.Second) // it is looking
	begin := time.Now()
	d.End()
	if took := time.Since(begin); took > 25*time.Second {
		t.Errorf("the end took %v", took)
	}
	begin = time.Now()
	d = StartDaemonAfter(t, setup, config(strings.Replace(p.URI(), "host=", "host=db.test,", 1)))
	Eventually(t, 20*time.Second, "the other host", func() bool { return metric(t, d, "asynqd_postgres_up") == 1 })
	p.Exec("INSERT INTO jobs (name, type) VALUES ('one', 't')")
	executions(t, p, 1)
	d.Signal(syscall.SIGTERM)

	// A name with several addresses, of which only one has a server.
	d = StartDaemon(t, config(p.TCP(t, "localhost")))
	p.Exec("INSERT INTO jobs (name, type) VALUES ('another', 't')")
	executions(t, p, 2)
	d = StartDaemon(t, config("host=no-such-host.invalid user=asynq dbname=asynq"))
	Eventually(t, 20*time.Second, "the missing name to be told", func() bool {
		return len(d.Find("postgres unavailable: the connection: the host has no address: ")) > 0
	})
}
