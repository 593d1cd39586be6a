'use strict';

// /demo/sse?order=42 shows the status of order 42 as it changes.
const order = new URLSearchParams(location.search).get('order') || '42';
const events = `/orders/${encodeURIComponent(order)}/events`;
const show = (id, text) => { document.getElementById(id).textContent = text; };

let lastEventID = '';

function note(text) {
  const item = document.createElement('li');
  item.textContent = text;
  document.getElementById('events').prepend(item);
}

function connect() {
  const query = lastEventID ? `?last_event_id=${encodeURIComponent(lastEventID)}` : '';
  const source = new EventSource(events + query);
  source.onopen = () => show('state', 'open');
  source.addEventListener('status', (event) => {
    lastEventID = event.lastEventId;
    const { status } = JSON.parse(event.data);
    show('status', status);
    note(`${event.lastEventId} ${status}`);
  });
  // Events were missed that can't be had again. A real page reads its state
  // anew here, and then goes on with the events.
  source.addEventListener('reset', (event) => {
    lastEventID = event.lastEventId;
    show('status', 'unknown');
    note(`${event.lastEventId} reset: ${JSON.parse(event.data).reason}`);
  });
  source.onerror = () => {
    show('state', 'reconnecting');
    // The browser comes back by itself, with Last-Event-ID, after a stream that
    // broke off. It gives up for good after an answer such as 503.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(connect, 1000 + Math.random() * 4000);
    }
  };
}

document.getElementById('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const input = document.getElementById('input');
  const response = await fetch(`/orders/${encodeURIComponent(order)}/status`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ status: input.value }),
  });
  if (response.ok) {
    input.value = '';
  } else {
    const problem = await response.json();
    note(problem.detail || problem.title);
  }
});

show('order', order);
connect();
