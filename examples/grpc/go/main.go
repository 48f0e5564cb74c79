// A gRPC client of CCProxy in Go: `go generate && go run .`
//
// CCPROXY_GRPC is the address (127.0.0.1:3457), CCPROXY_KEY the key where one is needed. `go run . watch` prints the
// service's health whenever it changes.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets healthCheckConfig work
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "example.com/ccproxy-client/gen/ccproxy/v1"
)

//go:generate buf generate ../../../proto

// Spreads calls over every address that the name has, and leaves out those that cannot serve at the moment.
// With one address nothing changes: `dns:///ccproxy-headless.ccproxy.svc:3457` is where it counts.
const balanced = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": "ccproxy.v1.Proxy"}
}`

var model = cmp.Or(os.Getenv("CCPROXY_MODEL"), "claude-demo-1")

func main() {
	address := cmp.Or(os.Getenv("CCPROXY_GRPC"), "127.0.0.1:3457")
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(balanced))
	check(err)
	defer conn.Close()
	proxy, health := pb.NewProxyClient(conn), healthpb.NewHealthClient(conn)

	ctx := context.Background()
	if key := os.Getenv("CCPROXY_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", key)
	}

	if len(os.Args) > 1 && os.Args[1] == "watch" {
		watch(ctx, health)
		return
	}

	// Wait for the connection, and no longer than ten seconds for the whole answer.
	var header metadata.MD
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	answer, err := proxy.CreateMessage(short, asking(user("Hello")), grpc.WaitForReady(true), grpc.Header(&header))
	cancel()
	check(err)
	fmt.Println("whole:", textOf(answer), "from", header.Get("x-ccproxy-provider")[0])

	stream(ctx, proxy)
	useTools(ctx, proxy)

	_, err = proxy.CreateMessage(ctx, asking(user(`[[error 429 {"retry-after": "7"}]]`)))
	explain(err)

	short, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
	_, err = proxy.CreateMessage(short, asking(user("[[wait 5000]]")))
	cancel()
	fmt.Println("deadline:", status.Code(err))

	healthy, err := health.Check(ctx, &healthpb.HealthCheckRequest{Service: "readiness"})
	check(err)
	fmt.Println("health:", healthy.Status)
}

// stream prints an answer while it is made. The end of its context ends the call, at the provider too.
func stream(ctx context.Context, proxy pb.ProxyClient) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := proxy.StreamMessage(ctx, asking(user("Count with me")))
	check(err)
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		fmt.Print(event.GetContentBlockDelta().GetDelta().GetTextDelta().GetText())
	}
	fmt.Println()
}

// useTools calls the tools that the model asks for until it has an answer.
func useTools(ctx context.Context, proxy pb.ProxyClient) {
	read := &pb.Tool{Name: proto.String("read"), InputSchemaJson: `{"type": "object"}`}
	messages := []*pb.InputMessage{user(`[[tool read {"path": "notes.txt"}]]`)} // the demo obeys; a model decides
	for {
		request := asking(messages...)
		request.Tools = []*pb.Tool{read}
		answer, err := proxy.CreateMessage(ctx, request)
		check(err)
		var results []*pb.ContentBlock
		for _, block := range answer.Content {
			if call := block.GetToolUse(); call != nil {
				fmt.Println("tools:", call.GetName(), call.GetInputJson()) // the input is JSON text
				results = append(results, &pb.ContentBlock{Block: &pb.ContentBlock_ToolResult{
					ToolResult: &pb.ToolResultBlock{ToolUseId: call.Id, Content: text("three lines")},
				}})
			}
		}
		if results == nil {
			fmt.Println("tools:", textOf(answer))
			return
		}
		// The answer goes back as it came, thinking and all, then the results.
		messages = append(messages, turn("assistant", answer.Content), turn("user", results))
	}
}

// explain prints why a call failed, by the details that every error of CCProxy has.
func explain(err error) {
	var info *errdetails.ErrorInfo
	var retry *errdetails.RetryInfo
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			info = detail
		case *errdetails.RetryInfo:
			retry = detail
		}
	}
	fmt.Printf("error: %s %s (%s), again in %d s\n",
		status.Code(err), info.GetReason(), info.GetMetadata()["type"], retry.GetRetryDelay().GetSeconds())
}

// watch prints the service's health whenever it changes, until the service ends.
func watch(ctx context.Context, health healthpb.HealthClient) {
	changes, err := health.Watch(ctx, &healthpb.HealthCheckRequest{Service: "readiness"})
	check(err)
	for {
		change, err := changes.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		check(err)
		fmt.Println("health:", change.Status)
	}
}

func asking(messages ...*pb.InputMessage) *pb.CreateMessageRequest {
	return &pb.CreateMessageRequest{Model: &model, MaxTokens: proto.Int32(200), Messages: messages}
}

func user(said string) *pb.InputMessage {
	return &pb.InputMessage{Role: proto.String("user"), Content: text(said)}
}

func text(said string) *pb.Content {
	return &pb.Content{Kind: &pb.Content_Text{Text: said}}
}

func turn(role string, blocks []*pb.ContentBlock) *pb.InputMessage {
	content := &pb.Content{Kind: &pb.Content_Blocks{Blocks: &pb.ContentBlocks{Blocks: blocks}}}
	return &pb.InputMessage{Role: &role, Content: content}
}

func textOf(message *pb.Message) (all string) {
	for _, block := range message.Content {
		all += block.GetText().GetText()
	}
	return all
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
