package system

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

const ourTag, otherTag = 5, 9

// settleCase is an active list and which of its tasks end in one call.
type settleCase struct {
	active  []string
	ids     []string       // in the order of settling
	results map[string]int // expected for an id's first place in ids
}

func (c *settleCase) add(place int, id string, result int) {
	c.active = slices.Insert(c.active, place, id)
	c.ids = append(c.ids, id)
	c.results[id] = result
}

// randomSettleCase puts runs of tasks and single ones at any place among others, and spoils a few.
func randomSettleCase(random *rand.Rand) *settleCase {
	c := &settleCase{results: map[string]int{}}
	for i := range random.IntN([]int{1, 70, 200, 1500}[random.IntN(4)]) {
		c.active = append(c.active, fmt.Sprint("other-", i))
	}
	for left := 1 + random.IntN(60); left > 0; {
		place := random.IntN(len(c.active) + 1)
		if random.IntN(2) == 0 { // near an end
			place = min(place, random.IntN(100))
			if random.IntN(2) == 0 {
				place = len(c.active) - place
			}
		}
		for range min(left, 1+random.IntN(64)) {
			result := 1
			if random.IntN(15) == 0 {
				result = -random.IntN(2)
			}
			c.add(place, fmt.Sprint("task-", left), result)
			left--
		}
	}
	if random.IntN(2) == 0 {
		random.Shuffle(len(c.ids), func(i, j int) { c.ids[i], c.ids[j] = c.ids[j], c.ids[i] })
	}
	return c
}

// store writes the case to Redis: with a lease of ours for 1, of another server for -1, and none for 0.
func (c *settleCase) store(r *Redis) {
	r.Do("FLUSHALL")
	for _, id := range c.active {
		r.Do("RPUSH", QueueKey("default", "active"), id)
	}
	for id, result := range c.results {
		if result != 0 {
			tag := map[int]int{1: ourTag, -1: otherTag}[result]
			r.Do("ZADD", QueueKey("default", "lease"), fmt.Sprintf("%.7f", 2e9+float64(tag)/(1<<22)), id)
		}
	}
}

// TestSettledTasksLeaveTheActiveList: whichever tasks end together, those and no others leave the active list, and the
// others keep their order.
func TestSettledTasksLeaveTheActiveList(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	peer := StartPeer(t, r.URI())
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := randomSettleCase(random)
		c.store(r)
		items := []M{}
		for _, id := range c.ids {
			items = append(items, M{"id": id, "from_tail": random.IntN(2) == 0})
		}
		items = append(items, items[0]) // once more: it is not there any more
		answer := peer.Must("settle_done", M{"queue": "default", "tag": ourTag, "items": items})
		replies, _ := answer["reply"].([]any)
		for i, id := range c.ids {
			if got := replies[i].(json.Number).String(); got != fmt.Sprint(c.results[id]) {
				t.Errorf("seed %d: result of %s: got %s, want %d", seed, id, got, c.results[id])
			}
		}
		if last := replies[len(c.ids)].(json.Number).String(); last == "1" {
			t.Errorf("seed %d: %s was settled twice", seed, c.ids[0])
		}
		want := slices.DeleteFunc(slices.Clone(c.active), func(id string) bool { return c.results[id] == 1 })
		if got := r.Strings("LRANGE", QueueKey("default", "active"), 0, -1); !slices.Equal(got, want) {
			t.Fatalf("seed %d: active list: got %v, want %v", seed, got, want)
		}
	}
}
