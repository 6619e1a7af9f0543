package main

import (
	"context"
	"log/slog"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	policyv1 "example.com/policy/gen/openim/policy/v1"
)

const maxGroupName = 30 // Unicode code points.

// The policy's denials. Codes from 5000 to 9999 are webhooks' own.
var (
	blockedWord   = &policyv1.Denial{Code: 5001, Message: "the message holds a blocked word"}
	namelessGroup = &policyv1.Denial{Code: 5002, Message: "a group needs a name"}
)

// policy answers the rpcs below; the embedded servers answer the rest of theirs with UNIMPLEMENTED.
//
// An empty response allows, one with a denial denies, and one with another field allows with that field changed.
type policy struct {
	policyv1.UnimplementedMessagePolicyServiceServer
	policyv1.UnimplementedRelationPolicyServiceServer
	policyv1.UnimplementedGroupPolicyServiceServer

	words *lookup
	audit *auditLog
}

func (p *policy) BeforeSendSingleMsg(
	ctx context.Context, request *policyv1.BeforeSendSingleMsgRequest,
) (*policyv1.BeforeSendSingleMsgResponse, error) {
	denial, err := p.check(ctx, request.GetMessage())
	if err != nil {
		return nil, err
	}
	return &policyv1.BeforeSendSingleMsgResponse{Denial: denial}, nil
}

func (p *policy) BeforeSendGroupMsg(
	ctx context.Context, request *policyv1.BeforeSendGroupMsgRequest,
) (*policyv1.BeforeSendGroupMsgResponse, error) {
	denial, err := p.check(ctx, request.GetMessage())
	if err != nil {
		return nil, err
	}
	return &policyv1.BeforeSendGroupMsgResponse{Denial: denial}, nil
}

// check is one rule for single and group chats: they share the message. A look-up that takes too long is a failure, and
// no decision: hookgate's failure rule decides then.
func (p *policy) check(ctx context.Context, message *policyv1.ChatMessage) (*policyv1.Denial, error) {
	ctx, cancel := beforeDeadline(ctx)
	defer cancel()
	found, err := p.words.find(ctx, message.GetContent())
	if err != nil {
		return nil, status.Error(codes.DeadlineExceeded, "the words could not be looked up in time")
	}
	if found {
		return blockedWord, nil
	}
	return nil, nil
}

func (p *policy) BeforeMsgModify(
	_ context.Context, request *policyv1.BeforeMsgModifyRequest,
) (*policyv1.BeforeMsgModifyResponse, error) {
	response := &policyv1.BeforeMsgModifyResponse{}
	content := request.GetMessage().GetContent()
	if masked := maskContent(content); masked != content {
		response.Content = new(masked)
	}
	return response, nil
}

func (p *policy) BeforeSetFriendRemark(
	_ context.Context, request *policyv1.BeforeSetFriendRemarkRequest,
) (*policyv1.BeforeSetFriendRemarkResponse, error) {
	response := &policyv1.BeforeSetFriendRemarkResponse{}
	// An empty remark cannot be sent back, so a blank one stays as it is.
	if trimmed := strings.TrimSpace(request.GetRemark()); trimmed != "" && trimmed != request.GetRemark() {
		response.Remark = new(trimmed)
	}
	return response, nil
}

func (p *policy) BeforeCreateGroup(
	_ context.Context, request *policyv1.BeforeCreateGroupRequest,
) (*policyv1.BeforeCreateGroupResponse, error) {
	denial, name := checkGroupName(request.GetGroup().GetGroupName())
	return &policyv1.BeforeCreateGroupResponse{Denial: denial, GroupName: name}, nil
}

func (p *policy) BeforeSetGroupInfo(
	_ context.Context, request *policyv1.BeforeSetGroupInfoRequest,
) (*policyv1.BeforeSetGroupInfoResponse, error) {
	if request.GetGroupName() == "" { // The name is not being changed.
		return &policyv1.BeforeSetGroupInfoResponse{}, nil
	}
	denial, name := checkGroupName(request.GetGroupName())
	return &policyv1.BeforeSetGroupInfoResponse{Denial: denial, GroupName: name}, nil
}

func (p *policy) BeforeSetGroupInfoEx(
	_ context.Context, request *policyv1.BeforeSetGroupInfoExRequest,
) (*policyv1.BeforeSetGroupInfoExResponse, error) {
	if request.GroupName == nil { // The name is not being changed; an empty one is another thing here.
		return &policyv1.BeforeSetGroupInfoExResponse{}, nil
	}
	denial, name := checkGroupName(request.GetGroupName())
	return &policyv1.BeforeSetGroupInfoExResponse{Denial: denial, GroupName: name}, nil
}

// checkGroupName denies a blank name and shortens a long one; both nil let the name be.
func checkGroupName(name string) (denial *policyv1.Denial, shorter *string) {
	if strings.TrimSpace(name) == "" {
		return namelessGroup, nil
	}
	if cut := firstRunes(name, maxGroupName); cut != name {
		return nil, new(cut)
	}
	return nil, nil
}

func (p *policy) AfterRemoveBlack(
	ctx context.Context, request *policyv1.AfterRemoveBlackRequest,
) (*policyv1.AfterRemoveBlackResponse, error) {
	head := eventOf(ctx, "AfterRemoveBlack")
	err := p.record(head, struct {
		event
		OwnerUserID string `json:"owner_user_id"`
		BlackUserID string `json:"black_user_id"`
	}{head, request.GetOwnerUserId(), request.GetBlackUserId()})
	if err != nil {
		return nil, err
	}
	return &policyv1.AfterRemoveBlackResponse{}, nil
}

func (p *policy) AfterRevokeMsg(
	ctx context.Context, request *policyv1.AfterRevokeMsgRequest,
) (*policyv1.AfterRevokeMsgResponse, error) {
	head := eventOf(ctx, "AfterRevokeMsg")
	err := p.record(head, struct {
		event
		ConversationID string `json:"conversation_id"`
		Seq            int64  `json:"seq"`
		UserID         string `json:"user_id"`
	}{head, request.GetConversationId(), request.GetSeq(), request.GetUserId()})
	if err != nil {
		return nil, err
	}
	return &policyv1.AfterRevokeMsgResponse{}, nil
}

// event is what every audit line begins with.
type event struct {
	Event       string `json:"event"`
	OperationID string `json:"operation_id"`
	EventID     string `json:"event_id"`
}

// eventOf takes from the metadata what a webhook says outside its body.
func eventOf(ctx context.Context, name string) event {
	return event{
		Event:       name,
		OperationID: header(ctx, "openim-operation-id"),
		EventID:     header(ctx, "hookgate-event-id"),
	}
}

// header is the first value of a metadata key, or "".
func header(ctx context.Context, key string) string {
	if values := metadata.ValueFromIncomingContext(ctx, key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// record appends an audit line. UNAVAILABLE makes hookgate deliver the event again.
func (p *policy) record(head event, line any) error {
	if err := p.audit.append(head.EventID, line); err != nil {
		slog.Error("cannot write an audit line", "event", head.Event, "event_id", head.EventID,
			"operation_id", head.OperationID, "error", err)
		return status.Error(codes.Unavailable, "the audit line could not be written")
	}
	return nil
}
