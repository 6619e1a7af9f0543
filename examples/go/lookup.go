package main

import (
	"context"
	"time"
)

// timeToReply is what is left of a call's deadline when the policy stops waiting, so that its answer still arrives.
const timeToReply = 50 * time.Millisecond

// lookup finds blocked words. They are in memory here, and delay stands for the time that a moderation service would
// take: call it in this place, with the same context, which ends before the call's deadline does.
type lookup struct {
	words wordList
	delay time.Duration
}

// find tells whether the content of a message holds one of the words. It returns an error if the context ends first.
func (l *lookup) find(ctx context.Context, content string) (bool, error) {
	if l.delay > 0 {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(l.delay):
		}
	}
	return l.words.foundInContent(content), nil
}

// beforeDeadline returns a context that ends timeToReply before this one's deadline, if it has one.
func beforeDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-timeToReply))
}
