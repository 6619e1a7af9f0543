package main

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestPanicIsAnInternalError(t *testing.T) {
	var nothing map[string]int
	_, err := recoverPanic(context.Background(), nil, &grpc.UnaryServerInfo{FullMethod: "/a.Service/Call"},
		func(context.Context, any) (any, error) { nothing["x"] = 1; return nil, nil })
	if status.Code(err) != codes.Internal || status.Convert(err).Message() != "the policy failed on this request" {
		t.Errorf("got %v", err)
	}
}
