package harness

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// M is a JSON object.
type M = map[string]any

// Peer is our library in a process of its own (tests/peer), driven by JSON lines.
type Peer struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	mutex sync.Mutex
	ended bool
}

// BuildDir is where configure was run.
func BuildDir() string {
	if dir := os.Getenv("ASYNQ_BUILD"); dir != "" {
		return dir
	}
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../../build")
}

// Version is that of the build.
func Version(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(BuildDir(), "include/asynq/version.h"))
	found := regexp.MustCompile(`define ASYNQ_VERSION "(.*)"`).FindSubmatch(text)
	if found == nil {
		t.Fatal("the build has no version: ", err)
	}
	return string(found[1])
}

// StartPeer starts a peer that ends with the test; sanitizer findings in it fail the test.
func StartPeer(t testing.TB, uri string) *Peer {
	t.Helper()
	return StartPeerUnder(t, nil, uri)
}

// StartPeerUnder is StartPeer with the words of a command that is to start it.
func StartPeerUnder(t testing.TB, under []string, uri string) *Peer {
	t.Helper()
	words := append(append([]string{}, under...), filepath.Join(BuildDir(), "asynq-peer"), uri)
	p := &Peer{t: t, cmd: exec.Command(words[0], words[1:]...)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReaderSize(out, 1<<20)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("asynq-peer: %v", err)
	}
	t.Cleanup(p.End)
	return p
}

// Do runs one operation and returns the answer.
func (p *Peer) Do(op string, arguments M) M {
	p.t.Helper()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	line := M{"op": op}
	for name, value := range arguments {
		line[name] = value
	}
	encoded, err := json.Marshal(line)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(encoded, '\n')); err != nil {
		p.t.Fatalf("asynq-peer: %s: %v", op, err)
	}
	text, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("asynq-peer ended in %s: %v", op, err)
	}
	answer := M{}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil {
		p.t.Fatalf("asynq-peer answered %q: %v", text, err)
	}
	return answer
}

// Must is Do that expects status 0.
func (p *Peer) Must(op string, arguments M) M {
	p.t.Helper()
	answer := p.Do(op, arguments)
	if Status(answer) != 0 {
		p.t.Fatalf("%s: status %d: %v", op, Status(answer), answer["error"])
	}
	return answer
}

// Freeze stops the peer's clock; the zero time lets it run again.
func (p *Peer) Freeze(at time.Time) {
	p.t.Helper()
	ns := int64(0)
	if !at.IsZero() {
		ns = at.UnixNano()
	}
	p.Must("clock", M{"ns": ns})
}

// Notes returns what handlers, middleware and the log reported since the last call.
func (p *Peer) Notes() []string {
	p.t.Helper()
	var notes []string
	list, _ := p.Must("notes", nil)["notes"].([]any)
	for _, note := range list {
		notes = append(notes, note.(string))
	}
	return notes
}

// HasNote tells whether one of the notes contains a text.
func HasNote(notes []string, part string) bool {
	return slices.ContainsFunc(notes, func(note string) bool { return strings.Contains(note, part) })
}

// Status is the status in an answer.
func Status(answer M) int {
	number, _ := answer["status"].(json.Number)
	status, _ := number.Int64()
	return int(status)
}

// Number is an integer in an answer.
func Number(answer M, name string) int64 {
	number, _ := answer[name].(json.Number)
	value, _ := number.Int64()
	return value
}

// End closes the peer in good order.
func (p *Peer) End() {
	if p.ended {
		return
	}
	p.ended = true
	p.in.Close()
	io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("asynq-peer: %v", err)
	}
}

// Kill ends it with SIGKILL.
func (p *Peer) Kill() {
	p.ended = true
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// Signal sends it a signal.
func (p *Peer) Signal(signal os.Signal) { p.cmd.Process.Signal(signal) }

// Suspend stops it, until it is sent SIGCONT; when it returns, no thread of it runs.
func (p *Peer) Suspend() { suspend(p.cmd.Process) }

// Pid is its process id.
func (p *Peer) Pid() int { return p.cmd.Process.Pid }
