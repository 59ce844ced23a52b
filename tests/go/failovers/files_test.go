package failovers

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// Each node writes down what it does, at once, and does not write the file anew on its own. So the file of a master that was
// killed has all that it had answered, and that of its replica what came to it.
var writesDown = []string{"--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", "no", "--auto-aof-rewrite-percentage", "0"}

// cutFor is how long a master is alone before a fault, where nobody waits for its replica: on one machine a replica has everything
// within microseconds, and no kill would lose anything.
const cutFor = 300 * time.Millisecond

// record is a task that was created in a node. What is sent again is another record, with another time in it.
type record struct{ id, all string }

// file is that of a node, from a moment on. It is held open: Redis deletes it when it copies another node.
type file struct {
	*os.File
	from int64
}

// pair is a master and its replica, from a moment on at which the replica had all that the master had.
type pair struct {
	*load
	marker   string
	old, new file
	acked    map[string]string // calls before that moment
	promoted time.Time         // at the latest
	onlyOld  []string          // tasks that the master created and the replica did not get
	again    map[string]bool   // tasks that were created in the replica since, before the next fault
}

func (l *load) open(node *Redis) file {
	l.Helper()
	Eventually(l, time.Minute, "a file without what went before", func() bool {
		info, err := node.Client.Info(Ctx, "persistence").Result()
		return err == nil && strings.Contains(info, "aof_enabled:1") && strings.Contains(info, "aof_rewrite_in_progress:0") &&
			strings.Contains(info, "aof_rewrite_scheduled:0")
	})
	names, _ := filepath.Glob(filepath.Join(node.Dir, "appendonlydir", "*.incr.aof"))
	slices.SortFunc(names, func(a, b string) int { return number(a) - number(b) })
	names = append([]string{filepath.Join(node.Dir, "appendonly.aof")}, names...) // before Redis 7.0
	opened, err := os.Open(names[len(names)-1])
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { opened.Close() })
	end, err := opened.Seek(0, io.SeekEnd)
	if err != nil {
		l.Fatal(err)
	}
	return file{opened, end}
}

// number of a file such as appendonly.aof.12.incr.aof.
func number(name string) (number int) {
	_, rest, _ := strings.Cut(filepath.Base(name), ".aof.")
	fmt.Sscanf(rest, "%d", &number)
	return number
}

// inStep writes a marker, and waits until the replica has it.
func (l *load) inStep(master, replica *Redis) *pair {
	l.Helper()
	p := &pair{load: l, marker: fmt.Sprint("step ", len(l.pairs)), old: l.open(master), new: l.open(replica), acked: ReadCalls(l, l.calls)}
	replicas, err := master.Client.Pipelined(Ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(Ctx, QueueKey(l.queue, "step"), p.marker, 0)
		pipe.Do(Ctx, "WAIT", 1, 10_000) // for the writes of the same connection, and so for all before
		return nil
	})
	if err != nil || replicas[1].(*redis.Cmd).Val() != int64(1) {
		l.Fatalf("no replica had all: %v, %v", replicas, err)
	}
	l.pairs = append(l.pairs, p)
	return p
}

// created lists the tasks that were created in a node since the marker.
func (p *pair) created(in file) (records []record) {
	p.Helper()
	prefix := QueueKey(p.queue, "t:")
	reader := bufio.NewReader(io.NewSectionReader(in, in.from, 1<<40))
	isBehind := false
	for {
		command, err := ReadCommand(reader, nil)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			p.Fatalf("%s: %v", in.Name(), err)
		}
		if err != nil && !isBehind {
			p.Fatalf("%s does not have %q", in.Name(), p.marker)
		}
		if err != nil {
			return records // it may have written half of the next
		}
		words := command.Args
		if len(words) >= 3 && words[2] == p.marker {
			isBehind = true
		}
		if isBehind && len(words) >= 6 && strings.HasPrefix(words[1], prefix) && isNew(words) {
			records = append(records, record{strings.TrimPrefix(words[1], prefix), strings.Join(words, "\n")})
		}
	}
}

// isNew tells whether it is a task's first write; later ones have no message, or another state.
func isNew(words []string) bool {
	return strings.EqualFold(words[0], "HSET") && words[2] == "msg" && (words[5] == "pending" || words[5] == "scheduled")
}

// compare notes what the old master has alone: what is behind the last that both have, in the same order. To be called as long as
// the replica of now has not become a master again.
func (p *pair) compare() {
	p.promoted = time.Now()
	old, new := p.created(p.old), p.created(p.new)
	for len(old) > 0 && len(new) > 0 && old[0] == new[0] {
		old, new = old[1:], new[1:]
	}
	for _, r := range old {
		p.onlyOld = append(p.onlyOld, r.id)
	}
}

// close notes what the new master got since.
func (p *pair) close() {
	p.again = map[string]bool{}
	for _, r := range p.created(p.new) {
		p.again[r.id] = true
	}
	p.old.Close()
	p.new.Close()
}

// account wants each lost task to be one that an old master had alone, and the reverse: each that an old one had alone, and that
// was acknowledged, is lost, has run before, or was sent again.
func (l *load) account(lost []string, calls map[string]string, runs map[string][]Line) string {
	counts := map[string]int{}
	alone := map[string]bool{}
	for _, p := range l.pairs {
		for _, id := range p.onlyOld {
			what := p.fate(id, calls[id], runs[id])
			counts[what]++
			if alone[id] = what == "lost"; alone[id] && p.acked[id] == "acked" {
				l.Errorf("%s was acknowledged before the replica had all, and only the old master has it", id)
			}
		}
	}
	for _, id := range lost {
		if !alone[id] {
			l.Errorf("LOST, and no old master had it alone: %s, %v", id, runs[id])
		}
	}
	if counts["lost"] != len(lost) {
		l.Errorf("%d tasks are lost, and old masters had %d alone that were acknowledged and did not run", len(lost), counts["lost"])
	}
	unreplicated := 0
	for _, count := range counts {
		unreplicated += count
	}
	return fmt.Sprintf("lost %d; unreplicated %d, of them %v", len(lost), unreplicated, counts)
}

// fate of a task that an old master had alone.
func (p *pair) fate(id, outcome string, lines []Line) string {
	switch {
	case p.again[id]:
		return "sent again"
	case outcome != "acked":
		return "not acknowledged"
	case !HasEnded(lines):
		return "lost"
	case time.UnixMicro(lines[0].AtUs).After(p.promoted):
		p.Errorf("%s: only the old master had it, nobody sent it again, and it ran later: %v", id, lines)
	}
	return "run before"
}
