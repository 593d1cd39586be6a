package websocket

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"example.com/orders/internal/httpapi"
)

// A Receiver is called with what a client sends, one message at a time, and
// returns the id of the message that it became in the room, if it did. The
// client is told of an error that is or wraps a [httpapi.Problem] below 500; of
// any other only that it is not known whether the message was taken.
type Receiver func(ctx context.Context, data json.RawMessage) (id string, err error)

// Serve upgrades the request to a socket in the room, and returns when that is
// closed. It returns a [httpapi.Problem] where it can't be opened: 403 to a page
// of another origin, 426 to what is no upgrade, 400 to half a handshake, 503 when there
// are too many.
//
// The client gets each message of the room from now on or, where the query has
// a resume token, from there on: the id of the last frame that it has. Where not
// everything since can be given, it gets a frame "reset" first: it has to read
// anew what it shows.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request, room string, receive Receiver) error {
	if err := h.allow(w, r); err != nil {
		return err
	}
	s := &socket{
		hub:     h,
		client:  &client{room: room, wake: make(chan struct{}, 1)},
		receive: receive,
		limiter: rate.NewLimiter(rate.Limit(h.config.Rate), h.config.Burst),
		read:    make(chan struct{}),
	}
	if refused := h.admit(s); refused != "" {
		return h.refuse(refused)
	}
	defer h.dismiss(s)
	// Who may open a socket was decided by allow, by the rule that all routes go by.
	handshake := &hijacker{ResponseWriter: w, socket: s}
	conn, err := websocket.Accept(handshake, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true,
		OnPingReceived:     s.counted,
		OnPongReceived:     func(ctx context.Context, payload []byte) { s.counted(ctx, payload) },
	})
	if err != nil {
		h.metrics.refused.WithLabelValues(refuseHandshake).Inc()
		if handshake.refused == 0 {
			return err
		}
		return errors.Join(httpapi.NewProblem(handshake.refused, "This is not the handshake of a WebSocket (RFC 6455, section 4)."), err)
	}
	s.conn = conn
	s.run(r.Context(), r.URL.Query().Get("resume"))
	return nil
}

// refuse says that there is no socket for now.
func (h *Hub) refuse(reason string) error {
	h.metrics.refused.WithLabelValues(reason).Inc()
	problem := httpapi.NewProblem(http.StatusServiceUnavailable, "No socket is free; try again later.")
	problem.RetryAfter = h.retry()
	return problem
}

// allow refuses the pages of other origins, which browsers let open a socket
// with the user's cookies (RFC 6455, section 10.2), and what is no handshake.
func (h *Hub) allow(w http.ResponseWriter, r *http.Request) error {
	checked := *r
	checked.Method = http.MethodPost // the protection lets every GET pass
	if err := h.protection.Check(&checked); err != nil {
		h.metrics.refused.WithLabelValues(refuseOrigin).Inc()
		return httpapi.NewProblem(http.StatusForbidden, "A web page of another origin may not do this.")
	}
	if !r.ProtoAtLeast(1, 1) || !names(r, "Upgrade", "websocket") || !names(r, "Connection", "upgrade") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		return httpapi.NewProblem(http.StatusUpgradeRequired, "This is a WebSocket: ask for an upgrade.")
	}
	version, keys := r.Header.Get("Sec-WebSocket-Version"), r.Header.Values("Sec-WebSocket-Key")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.Join(keys, ",")))
	if r.Method != http.MethodGet || version != "13" || err != nil || len(key) != 16 {
		h.metrics.refused.WithLabelValues(refuseHandshake).Inc()
		w.Header().Set("Sec-WebSocket-Version", "13")
		return httpapi.NewProblem(http.StatusBadRequest, "This is not the handshake of a WebSocket (RFC 6455, section 4).")
	}
	return nil
}

// names reports whether a header that is a list has the word.
func names(r *http.Request, header, word string) bool {
	for _, value := range r.Header.Values(header) {
		for item := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(item), word) {
				return true
			}
		}
	}
	return false
}

// A hijacker keeps the connection at hand that the socket is on: its deadlines
// cost less than a context for each write, and closing it ends everything. It keeps
// the status of a refusal, to be answered in the API's words.
type hijacker struct {
	http.ResponseWriter
	socket  *socket
	refused int
}

func (h *hijacker) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		h.refused = status
		return
	}
	h.ResponseWriter.WriteHeader(status)
}

func (h *hijacker) Write(p []byte) (int, error) { return len(p), nil } // the words of a refusal

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	s := h.socket
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.raw = conn
	if s.hub.cut {
		s.cut()
	}
	return conn, buffers, nil
}

// A socket serves one client. One goroutine writes, another reads; while a ping
// is not answered there is a third.
type socket struct {
	hub     *Hub
	client  *client
	receive Receiver
	limiter *rate.Limiter
	conn    *websocket.Conn
	raw     net.Conn // set under hub.mu
	stop    context.CancelFunc
	read    chan struct{} // closed once nothing more is read
	also    sync.WaitGroup
	// told is the last position that the client has heard of.
	told position
}

// cut closes the connection, with no word to the client. The caller holds
// hub.mu, or is the socket itself.
func (s *socket) cut() {
	if s.raw != nil {
		_ = s.raw.Close() // it may be closed already
	}
}

// run serves the client until the socket is closed.
func (s *socket) run(ctx context.Context, token string) {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	s.conn.SetReadLimit(int64(s.hub.config.MaxMessageBytes))
	s.also.Go(func() {
		defer close(s.read)
		s.client.end(s.receiveAll(ctx))
	})

	result, ended := s.welcome(ctx, token)
	if ended == "" {
		ended = s.catchUp(ctx, &result)
	}
	if result != "" {
		s.hub.metrics.resumed.WithLabelValues(result).Inc()
	}
	if ended == "" {
		ended = s.live(ctx)
	}
	ended = s.client.endedBy(ended)
	s.client.end(ended)
	s.stop() // what is being taken is not waited for
	s.close(ended)
	s.also.Wait()
	s.hub.metrics.closed.WithLabelValues(ended).Inc()
}

// A farewell is what a client is told when its socket is closed (RFC 6455,
// section 7.4, and IANA's registry).
type farewell struct {
	code   websocket.StatusCode
	reason string
}

var farewells = map[string]farewell{
	// The registry's 1013 means overload, and not to come back until a person
	// asks for it. This client is to come back at once: that leaves 1008, which
	// is for what no other code fits.
	endSlow:     {websocket.StatusPolicyViolation, "slow: come back with the resume token"},
	endRate:     {websocket.StatusPolicyViolation, "rate: too many messages"},
	endTooLarge: {websocket.StatusMessageTooBig, "too large"},
	endBinary:   {websocket.StatusUnsupportedData, "send text"},
	endInvalid:  {websocket.StatusInvalidFramePayloadData, "send JSON"},
	endProtocol: {websocket.StatusProtocolError, ""},
	// 1001, going away, would say that the service is no more.
	endDrained: {websocket.StatusServiceRestart, "restart: come back with the resume token"},
	endBroken:  {websocket.StatusInternalError, "come back with the resume token"},
}

// close tells the client why, waits for its answer for as long as that may
// take, and closes the connection.
func (s *socket) close(ended string) {
	timer := time.AfterFunc(s.hub.config.CloseTimeout, s.cut)
	defer timer.Stop()
	bye, ok := farewells[ended]
	if !ok { // there is no one to tell
		s.cut()
		_ = s.conn.CloseNow() // it may be closed already
		return
	}
	_ = s.raw.SetWriteDeadline(time.Now().Add(s.hub.config.WriteTimeout)) // fails where it is closed
	_ = s.conn.Close(bye.code, bye.reason)                                // says how the client took it
}

// receiveAll hands over what the client sends, until the socket is to be
// closed, and returns why.
func (s *socket) receiveAll(ctx context.Context) (ended string) {
	// The context of a read would cut the connection, and with it the words of
	// farewell.
	unbound := context.WithoutCancel(ctx)
	for {
		kind, data, err := s.conn.Read(unbound)
		switch {
		case err != nil:
			return readEnded(err)
		case ctx.Err() != nil:
			return endGone
		case !s.limiter.Allow():
			return endRate
		case kind != websocket.MessageText:
			return endBinary
		case !utf8.Valid(data) || !json.Valid(data):
			return endInvalid
		}
		s.answer(ctx, data)
	}
}

func readEnded(err error) string {
	var broken *net.OpError
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return endTooLarge
	case websocket.CloseStatus(err) != -1, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.As(err, &broken):
		return endGone
	}
	return endProtocol
}

// counted counts a client's ping or pong as a message: each is work too. It reports
// whether a ping is to be answered.
func (s *socket) counted(context.Context, []byte) bool {
	if s.limiter.Allow() {
		return true
	}
	s.client.end(endRate)
	return false
}

const maxRef = 64 // bytes

// answer takes a message, and tells the client what became of it.
func (s *socket) answer(ctx context.Context, data []byte) {
	var in incoming
	reply, result := note{Type: typeError}, receivedRefused
	if err := json.Unmarshal(data, &in); err != nil || len(in.Data) == 0 || len(in.Ref) > maxRef {
		reply.Status, reply.Detail = http.StatusBadRequest, `Send {"ref": "your name for it", "data": the message}; ref may be left out.`
	} else {
		reply, result = s.hand(ctx, in)
	}
	s.hub.metrics.received.WithLabelValues(result).Inc()
	if reply.Type == typeError || in.Ref != "" {
		s.client.offer(&frame{wire: reply.encode()}, s.hub.config.QueueMessages)
	}
}

// hand hands a message to the receiver, in a trace of its own: that of the socket
// may last for days.
func (s *socket) hand(ctx context.Context, in incoming) (note, string) {
	ctx, span := s.hub.tracer.Start(ctx, "websocket.receive", trace.WithNewRoot(), trace.WithLinks(trace.LinkFromContext(ctx)))
	defer span.End()
	id, err := s.receive(ctx, in.Data)
	var problem *httpapi.Problem
	switch {
	case err == nil:
		return note{Type: typeAccepted, Ref: in.Ref, Message: id}, receivedAccepted
	case errors.As(err, &problem) && problem.Status < http.StatusInternalServerError:
		return note{Type: typeError, Ref: in.Ref, Status: problem.Status, Detail: problem.Error()}, receivedRefused
	}
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
	if ctx.Err() == nil {
		s.hub.log.WarnContext(ctx, "socket: a message may not have been taken", "error", err)
	}
	return note{Type: typeError, Ref: in.Ref, Status: http.StatusServiceUnavailable, Detail: "It is not known whether the message was taken."}, receivedFailed
}
