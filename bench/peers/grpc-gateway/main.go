// A webhook receiver made of grpc-gateway: what its generator and its manual give, and nothing else.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"hookgate.bench/gateway/flat"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gateway HOST:PORT of the policy")
	}
	if err := serve(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func serve(policy string) error {
	ctx := context.Background()
	connection, err := grpc.NewClient(policy, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	mux := runtime.NewServeMux()
	if err := flat.RegisterRelationPolicyServiceHandler(ctx, mux, connection); err != nil {
		return err
	}
	if err := flat.RegisterMessagePolicyServiceHandler(ctx, mux, connection); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "ready %s\n", listener.Addr())
	return http.Serve(listener, mux)
}
