// A chat room on net/http and gorilla/websocket, after the library's own chat example: a goroutine reads, another
// writes from a bounded queue, and who does not empty it is dropped.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

var secret = []byte("the benchmark's peers are nobody's secret")

type client struct {
	connection *websocket.Conn
	queue      chan *websocket.PreparedMessage
}

type room struct {
	sync.Mutex
	members map[*client]bool
}

var (
	lock     sync.Mutex
	rooms    = map[string]*room{}
	upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
)

func issue(name string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(name))
	return name + "." + hex.EncodeToString(mac.Sum(nil))
}

func auth(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("username")
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"token": issue(name), "username": name, "expires_in": 86400})
}

func ws(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	name, _, _ := strings.Cut(token, ".")
	if !hmac.Equal([]byte(token), []byte(issue(name))) {
		http.Error(w, "bad token", http.StatusUnauthorized)
		return
	}
	connection, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	lock.Lock()
	here := rooms[r.URL.Query().Get("room")]
	if here == nil {
		here = &room{members: map[*client]bool{}}
		rooms[r.URL.Query().Get("room")] = here
	}
	lock.Unlock()
	me := &client{connection, make(chan *websocket.PreparedMessage, 8192)}
	here.Lock()
	here.members[me] = true
	here.Unlock()
	go me.write()
	me.read(name, here)
}

func (me *client) write() {
	defer me.connection.Close()
	for message := range me.queue {
		if me.connection.WritePreparedMessage(message) != nil {
			return
		}
	}
}

func (me *client) read(name string, here *room) {
	for {
		_, text, err := me.connection.ReadMessage()
		if err != nil {
			break
		}
		message, _ := websocket.NewPreparedMessage(websocket.TextMessage, append([]byte(name+": "), text...))
		here.Lock()
		for member := range here.members {
			select {
			case member.queue <- message:
			default:
				delete(here.members, member)
				close(member.queue)
			}
		}
		here.Unlock()
	}
	here.Lock()
	if here.members[me] {
		delete(here.members, me)
		close(me.queue)
	}
	here.Unlock()
}

func main() {
	http.HandleFunc("/auth", auth)
	http.HandleFunc("/ws", ws)
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], ErrorLog: log.New(os.Stderr, "", 0)}
	log.Fatal(server.ListenAndServeTLS(os.Args[2], os.Args[3]))
}
