package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestAuditWritesAnEventOnce(t *testing.T) {
	var out bytes.Buffer
	audit := newAuditLog(&out)
	var deliveries sync.WaitGroup
	for i := range 64 {
		deliveries.Go(func() {
			if err := audit.append(fmt.Sprint(i%4), "<line>"); err != nil {
				t.Error(err)
			}
		})
	}
	deliveries.Wait()
	if want := strings.Repeat("\"<line>\"\n", 4); out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

func TestAuditWritesEventsWithoutIDEachTime(t *testing.T) {
	var out bytes.Buffer
	audit := newAuditLog(&out)
	for range 2 {
		if err := audit.append("", 1); err != nil {
			t.Error(err)
		}
	}
	if out.String() != "1\n1\n" {
		t.Errorf("got %q", &out)
	}
}

func TestAuditRemembersOnlyTheLastEvents(t *testing.T) {
	var out bytes.Buffer
	audit := newAuditLog(&out)
	lines := func(id int) int {
		before := out.Len()
		if err := audit.append(fmt.Sprint(id), 1); err != nil {
			t.Fatal(err)
		}
		return (out.Len() - before) / len("1\n")
	}
	for id := range rememberedEvents + 2 {
		lines(id)
	}
	if len(audit.seen) != rememberedEvents {
		t.Errorf("%d events are remembered", len(audit.seen))
	}
	if lines(2) != 0 || lines(rememberedEvents+1) != 0 {
		t.Error("an event was written again that should be remembered")
	}
	if lines(0) != 1 || lines(1) != 1 {
		t.Error("an event was not written again that should be forgotten")
	}
}

// fullDisk takes so many more bytes, then fails.
type fullDisk struct {
	bytes.Buffer
	free int
}

func (d *fullDisk) Write(data []byte) (int, error) {
	if len(data) <= d.free {
		d.free -= len(data)
		return d.Buffer.Write(data)
	}
	n, _ := d.Buffer.Write(data[:d.free])
	d.free = 0
	return n, errors.New("no space left on device")
}

func TestAuditWritesAgainWhatFailed(t *testing.T) {
	out := &fullDisk{free: 3}
	audit := newAuditLog(out)
	if err := audit.append("e1", "line"); err == nil {
		t.Error("no error from a full disk")
	}
	out.free = 100
	if err := audit.append("e1", "line"); err != nil {
		t.Error(err)
	}
	if want := "\"li\n\"line\"\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}
