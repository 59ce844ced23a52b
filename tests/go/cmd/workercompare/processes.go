package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// endsWithUs: nothing that was started stays when this program gives up. The kernel looks at the thread that started it,
// so main stays on one. Each is the leader of a group, with which its children end.
var endsWithUs = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}

// ---- workers ----

// team are the programs of a side while they work.
type team struct {
	cmds []*exec.Cmd
	pids []int
	gone sync.WaitGroup
}

// start has the bench know if one of them ends by itself.
func (b *bench) start(cmds []*exec.Cmd) *team {
	t := &team{cmds: cmds}
	for _, cmd := range cmds {
		check(cmd.Start())
		t.pids = append(t.pids, cmd.Process.Pid)
		t.gone.Add(1)
		go func() {
			cmd.Wait()
			b.ended.Store(cmd)
			t.gone.Done()
		}()
	}
	return t
}

func (t *team) stop() {
	for _, pid := range t.pids {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	killed := time.AfterFunc(10*time.Second, t.kill)
	t.gone.Wait()
	killed.Stop()
	t.kill() // what they have left behind
}

func (t *team) kill() {
	for _, pid := range t.pids {
		syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// ---- process trees ----

type usage struct {
	cpu      time.Duration // with that of children that have ended
	rss, pss int64         // bytes
}

const ticks = 100 // per second, of /proc on every Linux that this runs on

// stat reads a process's parent and the CPU that it and its ended children have used; false: it is gone.
func stat(pid int) (parent int, cpu time.Duration, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	parent, _ = strconv.Atoi(fields[1])
	for _, field := range fields[11:15] {
		number, _ := strconv.ParseInt(field, 10, 64)
		cpu += time.Duration(number) * time.Second / ticks
	}
	return parent, cpu, true
}

// memory reads what a process holds, and its share of what it has in common with others.
func memory(pid int) (rss, pss int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		kb, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "Rss:":
			rss = kb * 1024
		case "Pss:":
			pss = kb * 1024
		}
	}
	return rss, pss
}

// used sums over processes and their descendants.
func used(roots []int, withMemory bool) (sum usage) {
	entries, err := filepath.Glob("/proc/[0-9]*")
	check(err)
	parents, cpus := map[int]int{}, map[int]time.Duration{}
	for _, entry := range entries {
		pid, _ := strconv.Atoi(filepath.Base(entry))
		if parent, cpu, ok := stat(pid); ok {
			parents[pid], cpus[pid] = parent, cpu
		}
	}
	for pid := range parents {
		if !descends(pid, roots, parents) {
			continue
		}
		sum.cpu += cpus[pid]
		if withMemory {
			rss, pss := memory(pid)
			sum.rss, sum.pss = sum.rss+rss, sum.pss+pss
		}
	}
	return sum
}

func descends(pid int, roots []int, parents map[int]int) bool {
	for ; pid > 1; pid = parents[pid] {
		for _, root := range roots {
			if pid == root {
				return true
			}
		}
	}
	return false
}

// giveUp ends the program with what was said last.
func (b *bench) giveUp(format string, args ...any) {
	text, _ := os.ReadFile(b.log.Name())
	os.Stderr.Write(text[max(0, len(text)-4000):])
	log.Fatalf(format, args...)
}

// ---- marks ----

type mark struct{ number, beganNs int64 }

// count is how many tasks have begun.
func (b *bench) count() int {
	info, err := os.Stat(b.marks)
	if err != nil {
		return 0
	}
	return int(info.Size() / 16)
}

func (b *bench) read() (all []mark) {
	text, err := os.ReadFile(b.marks)
	check(err)
	for ; len(text) >= 16; text = text[16:] {
		all = append(all, mark{int64(binary.LittleEndian.Uint64(text)), int64(binary.LittleEndian.Uint64(text[8:]))})
	}
	return all
}

// await polls until so many tasks have begun.
func (b *bench) await(what string, count int) {
	seen, since := -1, time.Now()
	for {
		now := b.count()
		if now >= count {
			return
		}
		if now != seen {
			seen, since = now, time.Now()
		}
		if cmd := b.ended.Load(); cmd != nil {
			b.giveUp("%s: %v after %d of %d tasks: %v", what, cmd.ProcessState, now, count, cmd)
		}
		if time.Since(since) > *patience {
			b.giveUp("%s: %d of %d tasks have begun, none in the last %v", what, now, count, *patience)
		}
		time.Sleep(time.Millisecond)
	}
}

// mustHaveAll ends the program unless each task has run once.
func (b *bench) mustHaveAll(what string, count int) []mark {
	time.Sleep(200 * time.Millisecond) // what would run twice
	all := b.read()
	seen := map[int64]bool{}
	for _, m := range all {
		seen[m.number] = true
	}
	if len(all) != count || len(seen) != count {
		b.giveUp("%s: %d tasks, %d have run, %d times in all", what, count, len(seen), len(all))
	}
	return all
}
