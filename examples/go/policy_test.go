package main

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	policyv1 "example.com/policy/gen/openim/policy/v1"
)

// dial serves the policy in memory, as main serves it on a port, and connects to it.
func dial(t *testing.T, policy *policy) *grpc.ClientConn {
	listener := bufconn.Listen(1 << 20)
	server, _ := newServer(policy)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:policy",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func blocking(words ...string) *policy {
	return &policy{words: &lookup{words: newWordList(words)}, audit: newAuditLog(&bytes.Buffer{})}
}

func TestBeforeSendSingleMsg(t *testing.T) {
	client := policyv1.NewMessagePolicyServiceClient(dial(t, blocking("spam")))
	for _, test := range []struct {
		name    string
		message *policyv1.ChatMessage
		denied  int32 // The denial's code, 0 for none.
	}{
		{"a blocked word", &policyv1.ChatMessage{ContentType: 101, Content: `{"content":"buy spam"}`}, 5001},
		{"another word", &policyv1.ChatMessage{ContentType: 101, Content: `{"content":"buy ham"}`}, 0},
		{"no JSON", &policyv1.ChatMessage{ContentType: 101, Content: "spam"}, 5001},
		{"an empty message", &policyv1.ChatMessage{}, 0},
		{"no message", nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, err := client.BeforeSendSingleMsg(t.Context(),
				&policyv1.BeforeSendSingleMsgRequest{Message: test.message})
			if err != nil {
				t.Fatal(err)
			}
			if got := response.GetDenial().GetCode(); got != test.denied {
				t.Errorf("got %v, want code %d", response, test.denied)
			}
		})
	}
}

func TestLookupEndsBeforeTheDeadline(t *testing.T) {
	policy := blocking("spam")
	policy.words.delay = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), timeToReply+10*time.Millisecond)
	defer cancel()
	_, err := policy.BeforeSendSingleMsg(ctx, &policyv1.BeforeSendSingleMsgRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

func TestAfterRemoveBlackIsAuditedOnce(t *testing.T) {
	var audit bytes.Buffer
	client := policyv1.NewRelationPolicyServiceClient(dial(t, &policy{words: &lookup{}, audit: newAuditLog(&audit)}))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "hookgate-event-id", "e1", "openim-operation-id", "op")
	for range 2 {
		_, err := client.AfterRemoveBlack(ctx, &policyv1.AfterRemoveBlackRequest{OwnerUserId: "ann", BlackUserId: "bob"})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := `{"event":"AfterRemoveBlack","operation_id":"op","event_id":"e1","owner_user_id":"ann","black_user_id":"bob"}` + "\n"
	if audit.String() != want {
		t.Errorf("got %s", &audit)
	}
}

func TestOtherRPCsAreUnimplemented(t *testing.T) {
	client := policyv1.NewRelationPolicyServiceClient(dial(t, blocking()))
	_, err := client.BeforeAddBlack(t.Context(), &policyv1.BeforeAddBlackRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
}
