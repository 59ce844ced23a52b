package system

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

func run(t *testing.T, dir, name string, arguments ...string) {
	t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arguments, err, output)
	}
}

// certificates makes a CA and certificates of server and client, as docs/redis.md does.
func certificates(t *testing.T, dir string) {
	t.Helper()
	run(t, dir, "sh", "-ec", block(t, section(t, "## TLS"), "sh"))
}

// trusting is for Go's programs: whom this CA trusts.
func trusting(t *testing.T, file string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: authorities}
}

// refusedWith pings with a URI and expects a failure with a text; status 0 stands for any.
func refusedWith(t *testing.T, uri string, status int, text string) {
	t.Helper()
	refusedWithin(t, 30*time.Second, uri, status, text)
}

// refusedWithin is refusedWith for failures that only show when the time limit is over: that nobody is there.
func refusedWithin(t *testing.T, limit time.Duration, uri string, status int, text string) {
	t.Helper()
	peer := StartPeer(t, uri)
	peer.Must("client.options", M{"timeout_ms": limit.Milliseconds()})
	answer := peer.Do("ping", nil)
	if Status(answer) == 0 || (status != 0 && Status(answer) != status) || !strings.Contains(answer["error"].(string), text) {
		t.Errorf("%s: status %d, %q; want %d, ...%q", uri, Status(answer), answer["error"], status, text)
	}
}

// TestTLS: verification is on by default and explains itself; client certificates, server names, large payloads.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificates(t, dir)
	port := FreePort(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	tls := section(t, "## TLS")
	here := func(text string) string {
		return strings.NewReplacer("/etc/redis/tls", dir, "6379", fmt.Sprint(port)).Replace(text)
	}
	r := StartRedis(t, configuration(here(block(t, tls, "conf")))...)
	StartPeer(t, here(block(t, tls, "text"))).Must("ping", nil)
	base := fmt.Sprintf("rediss://127.0.0.1:%d?cert_file=%s&key_file=%s", port, file("client.crt"), file("client.key"))
	refusedWith(t, base, -8, "certificate is not trusted")
	refusedWith(t, base+"&ca_file="+file("ca.crt")+"&server_name=elsewhere", -8, "mismatch")
	refusedWith(t, base+"&ca_file=/nowhere", -1, "CA file")
	// Whether its alert reaches us before the reset that follows it is not in our hands.
	refusedWith(t, fmt.Sprintf("rediss://127.0.0.1:%d?ca_file=%s", port, file("ca.crt")), 0, "TLS")
	for _, good := range []string{base + "&ca_file=" + file("ca.crt"), base + "&verify=off",
		strings.Replace(base, "127.0.0.1", "localhost", 1) + "&ca_file=" + file("ca.crt")} {
		StartPeer(t, good).Must("ping", nil)
	}
	s := StartCServer(t, base+"&ca_file="+file("ca.crt"), ServerOptions{LedgerPath: filepath.Join(r.Dir, "ledger")})
	peer := StartPeer(t, base+"&ca_file="+file("ca.crt"))
	large := `{"text":"` + strings.Repeat("x", 3_000_000) + `"}`
	peer.Must("enqueue", Task{Type: "t", Payload: &large}.ForC())
	peer.Must("load", M{"prefix": "tls", "payload": "{}", "count": 1000, "threads": 8})
	waitEmpty(t, r, time.Minute)
	equal(t, "runs", len(Starts(s.Ledger())), 1001)
}

// TestAccess: user names, passwords, databases.
func TestAccess(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	r.Do("ACL", "SETUSER", "asynq", "on", ">s3cr et", "~asynq:*", "&*", "+@all", "-@dangerous", "+info", "+keys")
	with := func(user string) string { return strings.Replace(r.URI(), "unix://", "unix://"+user, 1) }
	StartPeer(t, with("asynq:s3cr%20et@")).Must("ping", nil)
	StartPeer(t, with("asynq:s3cr%20et@")+"?db=5").Must("ping", nil)
	refusedWith(t, with("asynq:wrong@"), -8, "refused the credentials")
	refusedWith(t, with("")+"?db=99", -1, "database")
	r.Do("CONFIG", "SET", "requirepass", "top")
	refusedWith(t, with(""), -8, "wants a password")
	StartPeer(t, with(":top@")).Must("ping", nil)
}

// TestBadAddresses: each mistake in a URI is named; an unreachable Redis is an error in time.
func TestBadAddresses(t *testing.T) {
	t.Parallel()
	for uri, text := range map[string]string{
		"localhost:6379":                      "no scheme",
		"http://localhost":                    "unsupported uri scheme",
		"redis://":                            "host is missing",
		"redis://host:port":                   "the port is not a number",
		"redis://host:99999":                  "port",
		"redis://host/x":                      "the database is not a number",
		"redis://user@host":                   "has no \":\"",
		"redis://[::1":                        "without \"]\"",
		"redis://h?nonsense=1":                "unknown parameter \"nonsense\"",
		"redis://%zz":                         "escape",
		"unix://relative":                     "absolute path",
		"rediss://h?cert_file=/x":             "go together",
		"unix:///" + strings.Repeat("x", 200): "at most",
	} {
		refusedWith(t, uri, -1, text)
	}
	port := FreePort(t)
	refusedWithin(t, 6*time.Second, fmt.Sprintf("redis://127.0.0.1:%d", port), -5, "Connection refused")
	refusedWithin(t, 6*time.Second, "unix:///nowhere/redis.sock", -5, "No such file")
	refusedWithin(t, 6*time.Second, "redis://no-such-host.invalid", -5, "Redis cannot be reached")
}

// TestTCP: a name with several addresses, and a database in the path.
func TestTCP(t *testing.T) {
	t.Parallel()
	port := FreePort(t)
	r := StartRedis(t, "--port", fmt.Sprint(port), "--bind", "127.0.0.1")
	for _, uri := range []string{"redis://localhost:%d", "redis://127.0.0.1:%d/", "redis://127.0.0.1:%d/3", "redis://[::ffff:127.0.0.1]:%d"} {
		StartPeer(t, fmt.Sprintf(uri, port)).Must("ping", nil)
	}
	peer := StartPeer(t, fmt.Sprintf("redis://localhost:%d/3", port))
	peer.Must("enqueue", Task{Type: "t"}.ForC())
	equal(t, "keys in database 0", r.Int("DBSIZE"), 0)
}

// TestHealth: the callback hears of a healthy and of a dead Redis.
func TestHealth(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartServer(t, "c", r, ServerOptions{HealthMs: 50})
	var notes []string
	seen := func(text string) func() bool {
		return func() bool {
			notes = append(notes, s.Notes()...)
			for _, note := range notes {
				if note == text {
					return true
				}
			}
			return false
		}
	}
	Eventually(t, 5*time.Second, "a healthy report", seen("health 0"))
	r.Kill()
	Eventually(t, 5*time.Second, "an unhealthy report", seen("health -5"))
	r.Start()
}

// TestStartBeforeRedis: a server that starts while Redis is down begins when it comes up.
func TestStartBeforeRedis(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	r.Kill()
	s := StartServer(t, "c", r, ServerOptions{})
	peer := StartPeer(t, r.URI())
	time.Sleep(500 * time.Millisecond)
	r.Start()
	peer.Must("enqueue", Task{Type: "t", Payload: P("{}")}.ForC())
	waitEmpty(t, r, 5*time.Second)
	equal(t, "runs", len(Starts(s.Ledger())), 1)
}

// TestCallAfterSilence: a program that runs its loop only while it waits for an answer, and then does something else for
// long, has its next answer as well.
func TestCallAfterSilence(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	peer := StartPeer(t, r.URI())
	settle := M{"queue": "default", "tag": 1, "items": []M{{"id": "none", "from_tail": false}}}
	for range 2 {
		peer.Must("settle_done", settle)
		time.Sleep(17 * time.Second)
	}
	peer.Must("settle_done", settle)
}
