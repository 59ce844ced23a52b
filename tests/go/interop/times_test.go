package interop

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

var unixTime = regexp.MustCompile(`\b1[6-9]\d{8}(\.\d{6})?\b`)

// withoutTimes is a snapshot in which every Unix time is replaced by its distance from now in steps of 5 minutes, and
// members of equal score stand in the order of their names.
func withoutTimes(t *testing.T, r *Redis, ignore ...string) map[string]string {
	t.Helper()
	state := r.Snapshot(ignore...)
	for key, value := range state {
		value = unixTime.ReplaceAllStringFunc(value, func(text string) string {
			at, _ := strconv.ParseFloat(text, 64)
			steps := (time.Unix(int64(at), 0).Sub(time.Now()) + 150*time.Second).Minutes() / 5
			return fmt.Sprintf("now%+d", int(steps))
		})
		if strings.HasPrefix(value, "zset ") {
			words := strings.Fields(value)[1:]
			value = "zset " + strings.Join(sorted(words), " ")
		}
		state[key] = value
	}
	return state
}

func sorted(words []string) []string {
	list := append([]string{}, words...)
	for i := range list {
		for j := i; j > 0 && list[j] < list[j-1]; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return list
}
