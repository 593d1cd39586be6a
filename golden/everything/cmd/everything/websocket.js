'use strict';

// /demo/websocket?room=42 is a chat in room 42; with &in=PATH, in that of other
// rooms than those at /rooms.
const query = new URLSearchParams(location.search);
const room = query.get('room') || '42';
const rooms = encodeURIComponent(query.get('in') || 'rooms');
const address = new URL(`/${rooms}/${encodeURIComponent(room)}/socket`, location.href);
address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
const show = (id, text) => { document.getElementById(id).textContent = text; };

let resume = ''; // the id of the last frame that had one
let retry = 1000;
let socket = null;
let refs = 0;
const waiting = new Map(); // what was sent and is not accepted yet, by its ref

function note(text) {
  const item = document.createElement('li');
  item.textContent = text;
  document.getElementById('messages').prepend(item);
}

function send(ref, data) {
  waiting.set(ref, data);
  if (socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ ref, data }));
  }
}

const frames = {
  welcome(frame) {
    retry = frame.retry_ms;
    show('state', 'open');
    // What was on its way when the connection broke may have arrived: it is
    // there twice then. Where that matters, put a key of your own in the data.
    for (const [ref, data] of waiting) {
      send(ref, data);
    }
  },
  message(frame) { note(`${frame.data.from}: ${frame.data.text}`); },
  // Messages were missed that can't be had again. A real page reads its state
  // anew here, and then goes on with the messages.
  reset(frame) { note(`reset: ${frame.reason}`); },
  accepted(frame) { waiting.delete(frame.ref); },
  error(frame) {
    if (frame.status < 500) { // it would be refused again
      waiting.delete(frame.ref);
    }
    note(frame.detail);
  },
};

function connect() {
  address.search = resume ? `?resume=${encodeURIComponent(resume)}` : '';
  socket = new WebSocket(address);
  socket.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    if (frame.id) {
      resume = frame.id;
    }
    if (frames[frame.type]) {
      frames[frame.type](frame);
    }
  };
  // A browser does not come back by itself, and does not say what answer it got
  // to a handshake that failed.
  socket.onclose = (event) => {
    show('state', `closed (${event.code} ${event.reason}), reconnecting`);
    setTimeout(connect, retry);
  };
}

document.getElementById('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = document.getElementById('text');
  refs += 1;
  send(String(refs), { from: document.getElementById('from').value, text: text.value });
  text.value = '';
});

show('room', room);
connect();
