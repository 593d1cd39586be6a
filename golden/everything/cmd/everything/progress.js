'use strict';

// /demo/progress?job=17 shows how far job 17 has come. It asks one address, and
// listens to the events there where the answer says that there are.
const address = (job) => `/jobs/${encodeURIComponent(job)}/progress`;
const show = (id, text) => { document.getElementById(id).textContent = text; };
const bar = document.getElementById('bar');

let at = null; // what is shown
let source = null;
let timer = 0;

function log(text) {
  const item = document.createElement('li');
  item.textContent = text;
  document.getElementById('log').append(item);
}

// update takes answers and events in any order: an older one never wins.
function update(next) {
  if (at && (next.attempt < at.attempt || (next.attempt === at.attempt && next.done < at.done))) {
    return;
  }
  if (at && at.attempt > 0 && next.attempt > at.attempt) {
    log(`attempt ${next.attempt} begins anew`);
  }
  at = next;
  show('attempt', next.attempt);
  show('count', next.total ? `${next.done} of ${next.total}` : `${next.done}`);
  show('note', next.note);
  show('percent', next.percent === null ? '' : `${next.percent} %`);
  if (next.percent === null) {
    bar.removeAttribute('value'); // which shows that there is no telling
  } else {
    bar.value = next.percent;
  }
}

function listen(job) {
  source = new EventSource(address(job));
  source.addEventListener('progress', (event) => {
    const next = JSON.parse(event.data);
    update(next);
    show('by', 'events');
    // How the job ended, or whether it is tried again, is asked for.
    if (next.attempt_ended) {
      ask(job);
    }
  });
  // There was a gap: what there is now is asked for.
  source.addEventListener('reset', () => ask(job));
  source.onerror = () => {
    // The browser comes back by itself after a stream that broke off. It gives up
    // for good after an answer such as 503; then asking begins it again.
    if (source.readyState === EventSource.CLOSED) {
      source = null;
    }
    clearTimeout(timer);
    timer = setTimeout(ask, 1000 + Math.random() * 4000, job);
  };
}

async function ask(job) {
  clearTimeout(timer);
  let seconds = 5;
  try {
    const response = await fetch(address(job));
    seconds = Number(response.headers.get('Retry-After')) || seconds;
    const answer = await response.json();
    if (response.status === 404) {
      show('state', answer.detail);
      return;
    }
    if (response.ok) {
      update(answer);
      show('state', answer.state);
      if (answer.ended) {
        log(`${answer.state} at ${answer.done} of ${answer.total}`);
        if (source) {
          source.close();
        }
        return;
      }
      if (!answer.streams.includes('events')) {
        show('by', 'asking');
      } else if (!source) {
        listen(job);
      }
      // An attempt's last word comes a moment before the job's own end.
      if (source && source.readyState === EventSource.OPEN && !answer.attempt_ended) {
        seconds = 15;
      }
    }
  } catch (error) {
    show('state', `no answer (${error.message})`);
  }
  clearTimeout(timer);
  timer = setTimeout(ask, seconds * 1000, job);
}

function follow(job) {
  if (source) {
    source.close();
  }
  at = null;
  source = null;
  show('job', job);
  ask(job);
}

document.getElementById('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const response = await fetch('/jobs', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ kind: 'import', args: { list: 'demo', rows: Number(document.getElementById('rows').value) } }),
  });
  const answer = await response.json();
  if (response.ok) {
    follow(answer.id);
  } else {
    log(answer.detail || answer.title);
  }
});

const job = new URLSearchParams(location.search).get('job');
if (job) {
  follow(job);
}
