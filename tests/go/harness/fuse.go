package harness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
)

// HungFiles is an empty directory on a file system that can hang: the test provides it, through FUSE.
type HungFiles struct {
	Dir    string
	device int
	hangs  atomic.Bool
	asked  atomic.Int64 // while it hangs
}

// Operations of FUSE, from linux/fuse.h.
const (
	fuseGetattr = 3
	fuseStatfs  = 17
	fuseInit    = 26
	fuseAccess  = 34
)

// MountHungFiles makes one that does not hang yet. It needs root and FUSE; the test is skipped without.
func MountHungFiles(t testing.TB) *HungFiles {
	t.Helper()
	device, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0) // Go's poller would not hear of requests
	if err != nil {
		t.Skip(err)
	}
	h := &HungFiles{Dir: t.TempDir(), device: device}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device)
	if err := syscall.Mount("asynq-test", h.Dir, "fuse", 0, options); err != nil {
		syscall.Close(device)
		t.Skipf("FUSE: %v", err)
	}
	t.Cleanup(h.Abort)
	go h.serve()
	return h
}

// Hang has nobody get an answer from now on.
func (h *HungFiles) Hang() { h.hangs.Store(true) }

// Asked is how many wait for an answer.
func (h *HungFiles) Asked() int64 { return h.asked.Load() }

// Abort has all that wait fail, and takes the file system away.
func (h *HungFiles) Abort() {
	syscall.Unmount(h.Dir, syscall.MNT_FORCE|syscall.MNT_DETACH)
}

func (h *HungFiles) serve() {
	defer syscall.Close(h.device)
	request := make([]byte, 1<<17)
	for {
		n, err := syscall.Read(h.device, request)
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN) {
			continue // who asked has gone
		}
		if err != nil || n < 40 {
			return
		}
		operation, number := binary.NativeEndian.Uint32(request[4:]), binary.NativeEndian.Uint64(request[8:])
		if h.hangs.Load() {
			h.asked.Add(1)
			continue
		}
		h.answer(operation, number)
	}
}

func (h *HungFiles) answer(operation uint32, number uint64) {
	var body []byte
	var problem syscall.Errno
	switch operation {
	case fuseInit:
		body = make([]byte, 64)
		binary.NativeEndian.PutUint32(body, 7)
		binary.NativeEndian.PutUint32(body[4:], 31)
		binary.NativeEndian.PutUint32(body[20:], 4096) // the largest write
	case fuseGetattr:
		body = make([]byte, 104)
		binary.NativeEndian.PutUint64(body[16:], 1)                     // the number of the root
		binary.NativeEndian.PutUint32(body[76:], syscall.S_IFDIR|0o755) // its mode
		binary.NativeEndian.PutUint32(body[80:], 2)                     // links to it
	case fuseStatfs:
		body = make([]byte, 80)
	case fuseAccess:
	default:
		problem = syscall.ENOENT
	}
	answer := make([]byte, 16+len(body))
	binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
	binary.NativeEndian.PutUint32(answer[4:], uint32(-int32(problem)))
	binary.NativeEndian.PutUint64(answer[8:], number)
	copy(answer[16:], body)
	syscall.Write(h.device, answer)
}
