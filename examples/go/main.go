// Command policy is an example of a policy service for hookgate: it keeps blocked words out of messages, masks phone
// numbers, tidies remarks and group names, and keeps an audit log of two events.
package main

//go:generate go -C tools run .

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	policyv1 "example.com/policy/gen/openim/policy/v1"
)

const (
	maxRequest = 16 << 20        // Bytes; gRPC's own limit of 4 MiB is less than a webhook may carry.
	stopWithin = 5 * time.Second // What is in flight on SIGTERM has this long to finish.
	// Clients look the name up again when a connection ends, and so find the replicas that were added since.
	maxConnectionAge = 5 * time.Minute
)

func main() {
	var words []string
	flag.Func("word", "block messages that hold `WORD`; repeatable", func(word string) error {
		word, ok := cleanWord(word)
		if !ok {
			return errors.New("a word is UTF-8 and not blank")
		}
		words = append(words, word)
		return nil
	})
	wordsFile := flag.String("words", "", "block the words of `FILE` too: one a line, # begins a comment line")
	listen := flag.String("listen", cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:50051"),
		"serve on `HOST:PORT`; port 0 takes a free one; the variable LISTEN sets it too")
	delay := flag.Uint("delay-ms", 0, "take `MS` milliseconds to look words up, as a service elsewhere might")
	auditFile := flag.String("audit", "", "append audit lines to `FILE` (default standard output)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(flag.CommandLine.Output(), "unexpected argument: %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	lookupDelay := time.Duration(*delay) * time.Millisecond
	if err := run(*listen, words, *wordsFile, lookupDelay, *auditFile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until SIGTERM or SIGINT.
func run(listen string, words []string, wordsFile string, lookupDelay time.Duration, auditFile string) error {
	// A reader of standard output that goes away is an error of the next audit line, not this process's end.
	signal.Ignore(syscall.SIGPIPE)
	stopping, restore := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer restore()

	if wordsFile != "" {
		more, err := readWords(wordsFile)
		if err != nil {
			return fmt.Errorf("cannot read the words: %w", err)
		}
		words = append(words, more...)
	}

	out := os.Stdout
	if auditFile != "" {
		var err error
		if out, err = os.OpenFile(auditFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return fmt.Errorf("cannot open the audit file: %w", err)
		}
		defer out.Close()
	}

	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("cannot serve: %w", err)
	}
	server, healthServer := newServer(&policy{words: &lookup{newWordList(words), lookupDelay}, audit: newAuditLog(out)})
	go func() {
		<-stopping.Done()
		restore() // A second signal ends the process at once.
		healthServer.Shutdown()
		// Stop cuts off what GracefulStop still waits for.
		hurry := time.AfterFunc(stopWithin, server.Stop)
		defer hurry.Stop()
		server.GracefulStop()
	}()
	if len(words) == 0 {
		fmt.Fprintln(os.Stderr, "no words given (--word, --words): no message is blocked")
	}
	fmt.Fprintf(os.Stderr, "listening on %s\n", listener.Addr())
	// Serve returns once the stop is complete. ErrServerStopped: the signal came before it began.
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("cannot serve: %w", err)
	}
	return nil
}

// newServer registers the policy with what every policy service should have beside it: health and reflection. Services
// and rpcs that are not here answer UNIMPLEMENTED.
func newServer(policy *policy) (*grpc.Server, *health.Server) {
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.UnaryInterceptor(recoverPanic),
		// hookgate pings an idle connection every ten seconds; by default gRPC for Go hangs up on whoever does.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: maxConnectionAge}),
	)
	policyv1.RegisterMessagePolicyServiceServer(server, policy)
	policyv1.RegisterRelationPolicyServiceServer(server, policy)
	policyv1.RegisterGroupPolicyServiceServer(server, policy)
	healthServer := health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, healthServer)
	reflection.Register(server)
	return server, healthServer
}

// recoverPanic makes a bug in one call that call's failure, and not the end of the process.
func recoverPanic(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (response any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			slog.Error("panic", "rpc", info.FullMethod, "operation_id", header(ctx, "openim-operation-id"),
				"cause", cause, "stack", string(debug.Stack()))
			response, err = nil, status.Error(codes.Internal, "the policy failed on this request")
		}
	}()
	return handler(ctx, request)
}
