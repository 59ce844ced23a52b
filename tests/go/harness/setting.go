package harness

import (
	"os"
	"strconv"
)

// Setting is the number in a variable of the environment, by which the longer programmes are told how long they shall be.
func Setting(name string, otherwise int64) int64 {
	if value, err := strconv.ParseInt(os.Getenv(name), 10, 64); err == nil {
		return value
	}
	return otherwise
}
