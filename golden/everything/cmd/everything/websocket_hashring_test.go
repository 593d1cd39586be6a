package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/orders/internal/browsertest"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/websocket/websockettest"
)

// stickySay says something in a sticky room, and returns who has that.
func stickySay(t testing.TB, url, room, text string) (owner string) {
	t.Helper()
	status, body := send(t, http.MethodPost, url+"/sticky/"+room+"/messages", fmt.Sprintf(`{"from":"test","text":%q}`, text))
	mustEqual(t, body, status, http.StatusCreated)
	var answer struct{ Owner string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Owner
}

// stickyOwner returns who has the room.
func stickyOwner(t testing.TB, url, room string) stickyRoom {
	t.Helper()
	status, body := get(t, url+"/sticky/"+room)
	mustEqual(t, body, status, http.StatusOK)
	var answer stickyRoom
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// stickyRoomOf returns a new room of the member, which is asked by way of another.
func stickyRoomOf(t testing.TB, url, member string) string {
	t.Helper()
	for i := range 1000 {
		room := "of" + strconv.Itoa(i)
		if stickySay(t, url, room, "hello") == member {
			return room
		}
	}
	t.Fatalf("%s owns none of 1000 rooms", member)
	return ""
}

// stickyReconnect opens the socket again, for as long as that is refused.
func stickyReconnect(t testing.TB, address, token string) *websockettest.Socket {
	t.Helper()
	var socket *websockettest.Socket
	waittest.Until(t, func() (err error) {
		socket, _, err = websockettest.Dial(address, token, nil) //nolint:bodyclose // the socket has it
		return err
	})
	t.Cleanup(socket.Cut)
	return socket
}

// A stickyListener is a client that comes back by itself, by way of one instance,
// and notes what it gets.
type stickyListener struct {
	heard  []string
	resets []string
	codes  map[int]int
	err    error
}

// listen goes on until the text is heard, and comes back from each end.
func (l *stickyListener) listen(address, token, last string) {
	l.codes = make(map[int]int)
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		socket, _, err := websockettest.Dial(address, token, nil) //nolint:bodyclose // the socket has it
		for err == nil {
			var f websockettest.Frame
			if f, err = socket.Next(); err != nil {
				break
			}
			switch f.Type {
			case "reset":
				l.resets = append(l.resets, f.Reason)
			case "message":
				var message chatMessage
				if err = json.Unmarshal(f.Data, &message); err != nil {
					l.err = err
					return
				}
				l.heard = append(l.heard, message.Text)
				if message.Text == last {
					socket.Cut()
					return
				}
			}
		}
		if socket != nil {
			token = socket.Token
			l.codes[websockettest.Code(err)]++
			socket.Cut()
		}
	}
	l.err = fmt.Errorf("not heard: %s", last)
}

// A socket is asked of one instance and served by another: both directions, who is
// there, and what is refused.
func TestWebSocketHashring(t *testing.T) {
	env := hashringEnv(t)
	members := []*serviceProcess{startProcess(t, hashringFirst(env)), startProcess(t, env)}
	for _, m := range members {
		hashringMembers(t, m.URL, 2)
	}
	rooms := make(map[string]string)
	for i := 0; len(rooms) < 2; i++ { // one of each
		room := "room" + strconv.Itoa(i)
		rooms[stickySay(t, members[0].URL, room, "hello")] = room
	}
	for owner, room := range rooms {
		var sockets []*websockettest.Socket
		for i, m := range members {
			header := http.Header{"Origin": {m.URL}}                                                                    // as a page of its own has it
			socket, _, err := websockettest.Dial(m.URL+"/sticky/"+room+"/socket?from=user"+strconv.Itoa(i), "", header) //nolint:bodyclose // the socket has it
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(socket.Cut)
			sockets = append(sockets, socket)
		}
		for i, socket := range sockets {
			if err := socket.Send("r", chatMessage{From: "me", Text: "sent " + strconv.Itoa(i)}); err != nil {
				t.Fatal(err)
			}
			mustEqual(t, "the owner", stickySay(t, members[1-i].URL, room, "posted"), owner)
			said := map[string]int{}
			for _, socket := range sockets {
				for range 2 {
					text, err := websocketNext(socket)
					if err != nil {
						t.Fatal(err)
					}
					said[text]++
				}
			}
			mustEqual(t, "messages", fmt.Sprint(said), fmt.Sprintf("map[posted:2 sent %d:2]", i))
		}
		for _, m := range members {
			there := stickyOwner(t, m.URL, room)
			mustEqual(t, "who is there", fmt.Sprint(there.Owner, there.People, there.Sockets), fmt.Sprint(owner, "[user0 user1] ", 2))
		}
		for _, socket := range sockets {
			if err := socket.Leave(); err != nil {
				t.Error(err)
			}
		}
		waittest.Until(t, func() error {
			if there := stickyOwner(t, members[0].URL, room); there.Sockets != 0 {
				return fmt.Errorf("%d sockets are open", there.Sockets)
			}
			return nil
		})
		for _, m := range members {
			_, resp, err := websockettest.Dial(m.URL+"/sticky/"+room+"/socket", "", http.Header{"Origin": {"https://evil.example"}})
			if resp == nil {
				t.Fatal(err)
			}
			mustEqual(t, "a page of another origin", resp.StatusCode, http.StatusForbidden)
			status, _ := get(t, m.URL+"/sticky/"+room+"/socket")
			mustEqual(t, "no upgrade", status, http.StatusUpgradeRequired)
		}
	}
	for _, m := range members { // two sockets of a room of its own, and one that was passed on
		waittest.Until(t, func() error {
			_, metrics := get(t, m.URL+"/metrics")
			return contains(metrics, `route="GET /sticky/{id}/socket",status="101"} 3`)
		})
	}
	status, _ := get(t, members[0].URL+"/sticky/a.b")
	mustEqual(t, "a bad id", status, http.StatusBadRequest)
	status, _ = get(t, members[0].URL+"/sticky/nobody")
	mustEqual(t, "no such room", status, http.StatusNotFound)
}

// Who is refused a socket opens no room: it would take the place of another.
func TestWebSocketHashringRefusedOpensNoRoom(t *testing.T) {
	s := startService(t, map[string]string{"WEBSOCKET_ROOMS": "1", "WEBSOCKET_MAX_CLIENTS": "1"})
	_, resp, err := websockettest.Dial(s.URL+"/sticky/evil/socket", "", http.Header{"Origin": {"https://evil.example"}})
	if resp == nil {
		t.Fatal(err)
	}
	mustEqual(t, "a page of another origin", resp.StatusCode, http.StatusForbidden)
	status, _ := get(t, s.URL+"/sticky/plain/socket")
	mustEqual(t, "no upgrade", status, http.StatusUpgradeRequired)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/sticky/half/socket", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, _ = do(t, req)
	mustEqual(t, "half a handshake", resp.StatusCode, http.StatusBadRequest)
	websockettest.Open(t, s.URL+"/rooms/other/socket", "")
	_, resp, err = websockettest.Dial(s.URL+"/sticky/late/socket", "", nil)
	if resp == nil {
		t.Fatal(err)
	}
	mustEqual(t, "one too many", resp.StatusCode, http.StatusServiceUnavailable)
	for _, room := range []string{"evil", "plain", "half", "late"} {
		status, _ := get(t, s.URL+"/sticky/"+room)
		mustEqual(t, room, status, http.StatusNotFound)
	}
	stickySay(t, s.URL, "wanted", "hello")
	status, body := send(t, http.MethodPost, s.URL+"/sticky/another/messages", `{"from":"test","text":"hello"}`)
	mustEqual(t, body, status, http.StatusInsufficientStorage)
}

// An instance joins, one leaves in order, and one leaves that only passes sockets
// on: the rooms move with all that was said, and clients that come back hear each
// message once.
func TestWebSocketHashringMoves(t *testing.T) {
	const rooms, each = 8, 60
	env := hashringEnv(t)
	env["HASHRING_QUORUM"] = "1"
	first := startProcess(t, hashringFirst(env))
	hashringMembers(t, first.URL, 1)
	var listeners [rooms]stickyListener
	var listening sync.WaitGroup
	for i := range rooms {
		room := "room" + strconv.Itoa(i)
		stickySay(t, first.URL, room, "begin")
		address := first.URL + "/sticky/" + room + "/socket"
		token := websockettest.Open(t, address, "").Token
		listening.Go(func() { listeners[i].listen(address, token, "end") })
	}
	owners := make(map[string]bool)
	said := 0
	say := func() {
		for range each / 3 {
			for i := range rooms {
				owners[stickySay(t, first.URL, "room"+strconv.Itoa(i), strconv.Itoa(said))] = true
			}
			said++
		}
	}
	say()
	mustEqual(t, "owners", len(owners), 1)
	second := startService(t, env)
	say()
	hashringMembers(t, first.URL, 2)
	hashringMembers(t, second.URL, 2)
	waittest.Until(t, func() error {
		for i := range rooms {
			owners[stickyOwner(t, second.URL, "room"+strconv.Itoa(i)).Owner] = true
		}
		if len(owners) < 2 {
			return errors.New("no room has moved")
		}
		return nil
	})
	stopped := make(chan error, 1)
	go func() { stopped <- second.Stop() }()
	say()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	for i := range rooms {
		stickySay(t, first.URL, "room"+strconv.Itoa(i), "end")
	}
	listening.Wait()
	moves := 0
	for i, l := range listeners {
		if l.err != nil || len(l.resets) > 0 || len(l.heard) != each+1 {
			t.Fatalf("room %d: %d heard, resets %v, codes %v: %v", i, len(l.heard), l.resets, l.codes, l.err)
		}
		for j, text := range l.heard[:each] {
			mustEqual(t, "a message", text, strconv.Itoa(j))
		}
		moves += l.codes[1012]
	}
	if moves < 2 {
		t.Errorf("sockets were closed with 1012 %d times", moves)
	}
}

// The owner of a room is killed: its clients come back by way of another instance,
// and are told that what was said is gone. So is the demo page.
func TestWebSocketHashringKill(t *testing.T) {
	env := hashringEnv(t)
	env["WEBSOCKET_RETRY"], env["WEBSOCKET_RETRY_SPREAD"] = "50ms", "0s"
	members := []*serviceProcess{startProcess(t, hashringFirst(env)), startProcess(t, env)}
	env["HASHRING_NAME"] = "killed"
	asked, killed := members[0], startProcess(t, env)
	for _, m := range append(members, killed) {
		hashringMembers(t, m.URL, 3)
	}
	room := stickyRoomOf(t, asked.URL, "killed")
	address := asked.URL + "/sticky/" + room + "/socket"
	socket := websockettest.Open(t, address, "")
	page := browsertest.Open(t, asked.URL+"/demo/websocket?in=sticky&room="+room)
	page.WaitFor(`document.getElementById("state").value === "open"`)
	stickySay(t, asked.URL, room, "heard")
	websocketWant(t, socket, "heard")
	page.WaitFor(`document.querySelector("#messages li").textContent === "test: heard"`)

	killed.Kill()
	if f, err := socket.Next(); err == nil {
		t.Fatalf("got %+v from nobody", f)
	}
	again := stickyReconnect(t, address, socket.Token)
	f, err := again.Next()
	if err != nil || f.Type != "reset" || f.Reason != "unknown" {
		t.Fatalf("got %+v, %v", f, err)
	}
	page.WaitFor(`document.getElementById("state").value === "open" && document.querySelector("#messages li").textContent === "reset: unknown"`)
	stickySay(t, members[1].URL, room, "after")
	websocketWant(t, again, "after")
	page.WaitFor(`document.querySelector("#messages li").textContent === "test: after"`)
}

// An instance that the others do not confirm any more closes the sockets of its
// rooms, and takes nothing.
func TestWebSocketHashringLapse(t *testing.T) {
	env := hashringEnv(t)
	env["HASHRING_WAIT"] = "100ms"
	other, s := startProcess(t, hashringFirst(env)), startService(t, env)
	hashringMembers(t, s.URL, 2)
	hashringMembers(t, other.URL, 2)
	for i := range 20 { // so that both have some
		waittest.Until(t, func() error {
			status, body := send(t, http.MethodPost, s.URL+"/sticky/room"+strconv.Itoa(i)+"/messages", `{"from":"test","text":"hello"}`)
			if status != http.StatusCreated {
				return errors.New(body)
			}
			return nil
		})
	}
	owner := stickyOwner(t, s.URL, "room0").Owner
	sockets := make(map[string]*websockettest.Socket)
	for i := range 20 {
		room := "room" + strconv.Itoa(i)
		sockets[room] = websockettest.Open(t, s.URL+"/sticky/"+room+"/socket", "")
	}
	other.Kill()
	codes := make(map[int]int)
	for room, socket := range sockets {
		_, err := websocketNext(socket)
		codes[websockettest.Code(err)]++
		status, body := send(t, http.MethodPost, s.URL+"/sticky/"+room+"/messages", `{"from":"test","text":"hello"}`)
		mustEqual(t, room+" "+body, status, http.StatusServiceUnavailable)
	}
	if codes[1012] == 0 || codes[-1] == 0 || len(codes) != 2 {
		t.Errorf("closed with %v, the first room is %s's", codes, owner)
	}
}

// An instance that passes a socket on stops: the client comes back by way of
// another, and misses nothing.
func TestWebSocketHashringPassedOn(t *testing.T) {
	env := hashringEnv(t)
	env["HASHRING_QUORUM"] = "1"
	first := startProcess(t, hashringFirst(env))
	hashringMembers(t, first.URL, 1)
	owner := stickySay(t, first.URL, "any", "hello")
	second := startService(t, env)
	hashringMembers(t, first.URL, 2)
	hashringMembers(t, second.URL, 2)
	room := stickyRoomOf(t, second.URL, owner)
	socket := websockettest.Open(t, second.URL+"/sticky/"+room+"/socket", "")
	begin := time.Now()
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the service took %s to stop with a socket that it passes on", took)
	}
	if f, err := socket.Next(); err == nil {
		t.Errorf("got %+v by way of nobody", f)
	}
	stickySay(t, first.URL, room, "missed")
	again := websockettest.Open(t, first.URL+"/sticky/"+room+"/socket", socket.Token)
	websocketWant(t, again, "missed")
}
