package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hibiken/asynq/libasynq-tests/measured"
	"github.com/redis/go-redis/v9"
)

// endsWithUs: nothing that was started stays when this program gives up. The kernel looks at the thread that started it,
// so main stays on one.
var endsWithUs = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

// server is a Redis that can be asked what it has done: one, or a cluster.
type server struct {
	*measured.Redis
	others []*measured.Redis // of a cluster
}

func (s *server) nodes() []*measured.Redis { return append([]*measured.Redis{s.Redis}, s.others...) }

func (s *server) flush() {
	for _, node := range s.nodes() {
		check(node.Client.FlushAll(context.Background()).Err())
	}
}

func (s *server) do(args ...any) any {
	value, err := s.Client.Do(context.Background(), args...).Result()
	if err != redis.Nil {
		check(err)
	}
	return value
}

func (s *server) number(args ...any) float64 {
	switch value := s.do(args...).(type) {
	case int64:
		return float64(value)
	case string:
		number, _ := strconv.ParseFloat(value, 64)
		return number
	}
	return 0
}

// cpuUs is the CPU time that Redis has used so far.
func (s *server) cpuUs() (sum float64) {
	for _, node := range s.nodes() {
		sum += node.CPUUs()
	}
	return sum
}

// calls counts how often a command was called so far, by clients and by scripts.
func (s *server) calls(command string) float64 {
	text, _ := s.do("INFO", "commandstats").(string)
	var count float64
	if found := regexp.MustCompile(`cmdstat_` + command + `:calls=(\d+)`).FindStringSubmatch(text); found != nil {
		count, _ = strconv.ParseFloat(found[1], 64)
	}
	return count
}

// leases counts attempts to take tasks, and those that took some, so far. Go's script pops from each queue it asks; ours
// looks whether the queue is paused, and pops only if there is something. Each enqueue of Go's client asks once, too.
func (s *server) leases(side string) (all, fruitful float64) {
	if side == "go" {
		return s.calls("rpoplpush"), 0
	}
	return s.calls("exists"), s.calls("rpop")
}

// commandsSent counts the commands that clients send for a while, not those that scripts call.
func (s *server) commandsSent(while time.Duration) float64 {
	connection, err := net.Dial("tcp", s.Address)
	check(err)
	fmt.Fprint(connection, "MONITOR\r\n")
	connection.SetReadDeadline(time.Now().Add(while))
	lines := bufio.NewScanner(connection)
	lines.Buffer(nil, 1<<24)
	count := -1.0 // the answer to MONITOR
	for lines.Scan() {
		if !strings.Contains(lines.Text(), " lua] ") {
			count++
		}
	}
	connection.Close()
	return count
}

// process is a rig: a worker or a producer of one side.
type process struct {
	name   string
	cmd    *exec.Cmd
	input  io.WriteCloser
	lines  *bufio.Scanner
	values map[string]float64 // of the line "result"
}

type settings map[string]any

// rigs are the programs of the two sides, as bench/compare has built them.
var rigs = map[string]string{"c": os.Getenv("RIG_C"), "go": os.Getenv("RIG_GO"), "limit": os.Getenv("RIG_LIMIT"),
	// Ours without parking, without held tasks, and on clusters of fewer nodes.
	"armed": os.Getenv("RIG_C"), "none": os.Getenv("RIG_C"), "node": os.Getenv("RIG_C"), "nodes2": os.Getenv("RIG_C")}

func start(side, uri string, with settings) *process {
	args := []string{"redis=" + uri}
	for name, value := range with {
		args = append(args, fmt.Sprint(name, "=", value))
	}
	p := &process{name: filepath.Base(rigs[side]), cmd: exec.Command(rigs[side], args...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = endsWithUs
	var err error
	p.input, err = p.cmd.StdinPipe()
	check(err)
	output, err := p.cmd.StdoutPipe()
	check(err)
	p.lines = bufio.NewScanner(output)
	check(p.cmd.Start())
	return p
}

func (p *process) say(line string) { fmt.Fprintln(p.input, line) }

// hear waits for a line that begins with a word and returns the numbers after it.
func (p *process) hear(word string) []float64 {
	limit := time.AfterFunc(*patience, func() {
		fmt.Fprintf(os.Stderr, "%s does not say %q within %v\n", p.name, word, *patience)
		p.cmd.Process.Kill()
	})
	defer limit.Stop()
	for p.lines.Scan() {
		fields := strings.Fields(p.lines.Text())
		if len(fields) == 0 || fields[0] != word {
			continue
		}
		var numbers []float64
		p.values = map[string]float64{}
		for _, field := range fields[1:] {
			name, value, named := strings.Cut(field, "=")
			if !named {
				value = name
			}
			number, _ := strconv.ParseFloat(value, 64)
			numbers = append(numbers, number)
			p.values[name] = number
		}
		return numbers
	}
	log.Fatalf("%s ended before it said %q", p.name, word)
	return nil
}

func (p *process) wait() {
	p.input.Close()
	check(p.cmd.Wait())
}

// memoryKb is the resident memory of the process.
func (p *process) memoryKb() float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	check(err)
	for _, line := range strings.Split(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			number, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return number
		}
	}
	return 0
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
