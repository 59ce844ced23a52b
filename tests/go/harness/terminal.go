package harness

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Terminal is a program in a terminal: tmux, of which one can see the screen.
type Terminal struct {
	t      *testing.T
	socket string
}

var spaces = regexp.MustCompile(" +")

// StartTerminal runs a shell command in a terminal of this size.
func StartTerminal(t *testing.T, columns, lines int, command string) *Terminal {
	t.Helper()
	term := &Terminal{t, fmt.Sprintf("%s/tmux", t.TempDir())}
	t.Cleanup(func() { exec.Command("tmux", "-S", term.socket, "kill-server").Run() })
	term.tmux("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(lines), command)
	return term
}

func (term *Terminal) tmux(args ...string) string {
	term.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-S", term.socket}, args...)...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		term.t.Fatalf("tmux %v: %v %s", args, err, out)
	}
	return string(out)
}

// Screen is what is seen.
func (term *Terminal) Screen() string { return term.tmux("capture-pane", "-p") }

// Keys presses keys, named as tmux names them: "Enter", "Escape", "d".
func (term *Terminal) Keys(keys ...string) {
	term.t.Helper()
	term.tmux(append([]string{"send-keys"}, keys...)...)
}

// Resize changes the size.
func (term *Terminal) Resize(columns, lines int) {
	term.t.Helper()
	term.tmux("resize-window", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(lines))
}

// Shows waits for texts on the screen, all at the same time. A run of spaces counts as one.
func (term *Terminal) Shows(texts ...string) {
	term.t.Helper()
	var screen string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		screen = spaces.ReplaceAllString(term.Screen(), " ")
		missing := 0
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	term.t.Fatalf("waited for %q; the screen is\n%s", texts, screen)
}
