package main

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
)

const rememberedEvents = 10_000

// auditLog appends lines of JSON, one for each event, however often an event is delivered to this process: the IDs are
// forgotten when it ends, and another replica has its own. A service that keeps events in a database has it refuse the
// second one, in the transaction of the effect: INSERT … ON CONFLICT (event_id) DO NOTHING.
type auditLog struct {
	mu    sync.Mutex // Held while writing, so that of two deliveries at the same time the second sees the first's line.
	out   io.Writer
	seen  map[string]struct{}
	order []string // The IDs in seen, as a ring: next is the oldest once it is full.
	next  int
	torn  bool // A failed write may have left half a line behind; the next begins a new one.
}

func newAuditLog(out io.Writer) *auditLog {
	return &auditLog{out: out, seen: make(map[string]struct{})}
}

// append writes the line, unless one of this event was written. Without an ID nothing tells events apart: each is new.
// An event whose line could not be written is forgotten, so that its next delivery writes it.
func (a *auditLog) append(eventID string, line any) error {
	text, err := encodeJSON(line)
	if err != nil {
		return err
	}
	text = append(text, '\n')

	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.seen[eventID]; ok {
		return nil
	}
	if a.torn {
		text = append([]byte{'\n'}, text...)
	}
	// One write, unbuffered: the line is out when append returns.
	n, err := a.out.Write(text)
	if err != nil {
		a.torn = a.torn || n > 0
		return err
	}
	a.torn = false
	if eventID != "" {
		a.remember(eventID)
	}
	return nil
}

func (a *auditLog) remember(eventID string) {
	a.seen[eventID] = struct{}{}
	if len(a.order) < rememberedEvents {
		a.order = append(a.order, eventID)
		return
	}
	delete(a.seen, a.order[a.next])
	a.order[a.next] = eventID
	a.next = (a.next + 1) % rememberedEvents
}

// encodeJSON is json.Marshal without its escapes for HTML, such as \u003c for <.
func encodeJSON(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), err
}
