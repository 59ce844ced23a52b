package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postgres is a private PostgreSQL on a unix socket.
type Postgres struct {
	t   testing.TB
	dir string
	bin string
}

// StartPostgres starts one that ends with the test; its tables are not made yet.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Fatal("PostgreSQL is not installed; tools/setup check installs it")
	}
	sort.Strings(found)
	dir, err := os.MkdirTemp("", "asynq-pg-")
	if err != nil {
		t.Fatal(err)
	}
	p := &Postgres{t: t, dir: dir, bin: filepath.Dir(found[len(found)-1])}
	if owner := p.owner(); owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() {
		p.run("pg_ctl", "-D", filepath.Join(dir, "data"), "-m", "immediate", "-w", "stop")
		os.RemoveAll(dir)
	})
	p.fill()
	settings := fmt.Sprintf("listen_addresses=''\nunix_socket_directories='%s'\nfsync=off\nmax_connections=50\nshared_buffers=16MB\n", dir)
	file, err := os.OpenFile(filepath.Join(dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(settings)
		file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	p.must("createdb", "-h", dir, "-U", "asynq", "asynq")
	return p
}

// fill makes the files of an empty one: a copy of those in the build tree, as initdb takes a second of CPU time.
func (p *Postgres) fill() {
	p.t.Helper()
	kept, data := filepath.Join(BuildDir(), "postgres-"+filepath.Base(filepath.Dir(p.bin))), filepath.Join(p.dir, "data")
	if _, err := os.Stat(kept); err != nil {
		p.must("initdb", "-D", data, "-U", "asynq", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
		own := fmt.Sprint(kept, ".", filepath.Base(p.dir))
		copyFiles(p.t, data, own)
		if os.Rename(own, kept) != nil { // another test was first
			os.RemoveAll(own)
		}
		return
	}
	copyFiles(p.t, kept, data)
}

func copyFiles(t testing.TB, from, to string) {
	t.Helper()
	if text, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, text)
	}
}

// PostgreSQL does not run as root: then it belongs to its own user.
func (p *Postgres) owner() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	known, err := user.Lookup("postgres")
	if err != nil {
		p.t.Fatal(err)
	}
	uid, _ := strconv.Atoi(known.Uid)
	gid, _ := strconv.Atoi(known.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (p *Postgres) run(program string, words ...string) (string, error) {
	cmd := exec.Command(filepath.Join(p.bin, program), words...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "PGOPTIONS=-csearch_path=asynqd,public") // for tests; asynqd names its schema itself
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner()}
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func (p *Postgres) must(program string, words ...string) {
	p.t.Helper()
	if text, err := p.run(program, words...); err != nil {
		p.t.Fatalf("%s: %v\n%s", program, err, text)
	}
}

// Start starts it, again after Stop.
func (p *Postgres) Start() {
	p.t.Helper()
	p.must("pg_ctl", "-D", filepath.Join(p.dir, "data"), "-l", filepath.Join(p.dir, "log"), "-w", "start")
}

// Stop ends it in order, though not waiting for its clients.
func (p *Postgres) Stop() {
	p.t.Helper()
	p.must("pg_ctl", "-D", filepath.Join(p.dir, "data"), "-m", "fast", "-w", "stop")
}

// URI is where it is, for asynqd.
func (p *Postgres) URI() string { return "host=" + p.dir + " user=asynq dbname=asynq" }

// Exec runs statements.
func (p *Postgres) Exec(sql string) {
	p.t.Helper()
	if err := p.Try(sql); err != nil {
		p.t.Fatal(err)
	}
}

// Try runs statements that may fail.
func (p *Postgres) Try(sql string) error {
	text, err := p.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", p.dir, "-U", "asynq", "-c", sql, "asynq")
	if err != nil {
		return fmt.Errorf("%s: %v\n%s", sql, err, text)
	}
	return nil
}

// Rows are those of a query; nil if PostgreSQL is away.
func (p *Postgres) Rows(query string) (rows []M) {
	p.t.Helper()
	text, err := p.run("psql", "-X", "-At", "-h", p.dir, "-U", "asynq", "-c",
		"SELECT coalesce(json_agg(q), '[]') FROM ("+query+") AS q", "asynq")
	if err != nil {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		p.t.Fatalf("%s: %v: %s", query, err, text)
	}
	return rows
}

// Int is the only value of a query; -1 if PostgreSQL is away.
func (p *Postgres) Int(query string) int {
	p.t.Helper()
	text, err := p.run("psql", "-X", "-At", "-h", p.dir, "-U", "asynq", "-c", query, "asynq")
	number, wrong := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || wrong != nil {
		return -1
	}
	return number
}

// Migrate makes the tables, with asynqd.
func (p *Postgres) Migrate() {
	p.t.Helper()
	if text, err := DaemonCommand("migrate", "--postgres-uri="+p.URI()).CombinedOutput(); err != nil {
		p.t.Fatalf("asynqd migrate: %v\n%s", err, text)
	}
}
