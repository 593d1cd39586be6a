// Uploads one file: hash it, create the upload (or find the one that was begun
// before), send what the storage lacks, complete. The state stands in
// document.body.dataset, the same as a person sees.
const parallel = 3
const attempts = 6

const $ = id => document.getElementById(id)
let current = null

$('file').addEventListener('change', () => {
  current?.abort.abort()
  const file = $('file').files[0]
  if (file) run(file)
})
$('cancel').addEventListener('click', () => current?.cancel())

class Problem extends Error {
  constructor(status, detail, retryAfter) {
    super(detail)
    this.status = status
    this.retryAfter = retryAfter
  }
}

async function run(file) {
  const job = { id: null, abort: new AbortController() }
  job.cancel = async () => {
    job.abort.abort()
    if (job.id) await api('DELETE', `/uploads/${job.id}`)
    localStorage.removeItem(rememberAs(file))
    show('aborted', 'Given up.')
  }
  current = job
  $('cancel').disabled = false
  $('answer').hidden = true
  delete document.body.dataset.resumed
  try {
    await upload(file, job)
  } catch (err) {
    if (!job.abort.signal.aborted) show('failed', err.message)
  }
  if (current === job) $('cancel').disabled = true
}

async function upload(file, job) {
  if (!crypto.subtle) throw new Error('Browsers hash files on https:// and localhost only.')
  const signal = job.abort.signal
  const limits = await api('GET', '/uploads/limits')
  if (file.size > limits.max_size) throw new Error(`The file has more than ${size(limits.max_size)}.`)

  const inParts = file.size > limits.part_size
  const partSize = inParts ? limits.part_size : file.size
  const parts = []
  for (let start = 0; start < file.size; start += partSize) {
    signal.throwIfAborted()
    const blob = file.slice(start, start + partSize)
    const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())
    parts.push({ number: parts.length + 1, blob, digest, sha256: hex(digest), sent: 0 })
    progress('hashing', 'Hashing', start + blob.size, file.size)
  }
  const sha256 = inParts ? hex(await crypto.subtle.digest('SHA-256', await new Blob(parts.map(p => p.digest)).arrayBuffer()))
    : parts[0]?.sha256

  let begun = await resume(file, sha256, limits.part_size)
  if (!begun) {
    begun = await patiently(signal, () => api('POST', '/uploads', {
      name: file.name, type: file.type || 'application/octet-stream', size: file.size, sha256,
    }))
    localStorage.setItem(rememberAs(file), begun.id)
  }
  job.id = begun.id

  for (;;) {
    const stored = new Map((begun.parts ?? []).map(p => [p.number, p.sha256]))
    for (const part of parts) part.sent = stored.get(part.number) === part.sha256 ? part.blob.size : 0
    await sendAll(begun.id, parts.filter(p => p.sent === 0), signal, () => {
      progress('sending', 'Sending', parts.reduce((sum, p) => sum + p.sent, 0), file.size)
    })
    show('completing', 'Completing…')
    try {
      const ready = await patiently(signal, () => api('POST', `/uploads/${begun.id}/complete`))
      localStorage.removeItem(rememberAs(file))
      show('ready', 'Ready.')
      $('answer').textContent = JSON.stringify(ready, null, 2)
      $('answer').hidden = false
      return
    } catch (err) {
      if (err.status !== 409) {
        localStorage.removeItem(rememberAs(file))
        throw err
      }
      begun = await api('GET', `/uploads/${begun.id}`) // something is missing after all
    }
  }
}

// resume returns the upload of this very file that was begun before, if it can
// still be finished.
async function resume(file, sha256, partSize) {
  const id = localStorage.getItem(rememberAs(file))
  if (!id) return null
  try {
    const begun = await api('GET', `/uploads/${id}`)
    if (begun.status === 'pending' && begun.sha256 === sha256 && (begun.part_size ?? partSize) === partSize) {
      document.body.dataset.resumed = (begun.parts ?? []).length
      return begun
    }
  } catch (err) {
    if (err.status !== 404) throw err
  }
  return null
}

// sendAll sends the parts, a few at a time.
async function sendAll(id, parts, signal, onProgress) {
  const queue = [...parts]
  const worker = async () => {
    for (let part = queue.shift(); part; part = queue.shift()) {
      await patiently(signal, async () => {
        // A URL is asked for right before it is used, so that none grows old.
        const answer = await api('POST', `/uploads/${id}/parts`, { parts: [{ number: part.number, sha256: part.sha256 }] })
        await put(answer.parts[0], part, signal, onProgress)
      })
    }
  }
  await Promise.all(Array.from({ length: Math.min(parallel, parts.length) }, worker))
}

// put sends one part. fetch tells no progress of what it sends.
function put(request, part, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest()
    const told = sent => { part.sent = sent; onProgress() }
    const fail = status => { told(0); reject(new Problem(status, `The storage refused a part (${status || 'no answer'}).`)) }
    xhr.open(request.method, request.url)
    for (const [name, value] of Object.entries(request.headers)) {
      if (name.toLowerCase() !== 'content-length') xhr.setRequestHeader(name, value) // the browser sends that by itself
    }
    xhr.upload.onprogress = event => told(Math.min(event.loaded, part.blob.size))
    xhr.onload = () => xhr.status === 200 ? resolve(told(part.blob.size)) : fail(xhr.status)
    xhr.onerror = () => fail(0)
    xhr.onabort = () => reject(new DOMException('aborted', 'AbortError'))
    signal.addEventListener('abort', () => xhr.abort(), { once: true })
    // Without a type of its own, the blob leaves the one that was signed.
    xhr.send(part.blob.slice(0, part.blob.size, ''))
  })
}

// patiently calls fn again where the service or the storage may be there later.
async function patiently(signal, fn) {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await fn()
    } catch (err) {
      const later = err.status === 0 || err.status === 403 || err.status >= 500
      if (!later || attempt === attempts) throw err
      const wait = (err.retryAfter ?? Math.random() * 2 ** attempt) * 1000
      await new Promise(resolve => setTimeout(resolve, wait))
    }
  }
}

async function api(method, path, body) {
  let answer
  try {
    answer = await fetch(path, {
      method,
      headers: body ? { 'Content-Type': 'application/json' } : {},
      body: body ? JSON.stringify(body) : undefined,
    })
  } catch {
    throw new Problem(0, 'The service does not answer.')
  }
  if (answer.status === 204) return null
  const value = await answer.json()
  if (answer.ok) return value
  const after = answer.headers.get('Retry-After')
  throw new Problem(answer.status, value.detail ?? value.title, after ? Number(after) : undefined)
}

const rememberAs = file => `upload ${file.name} ${file.size} ${file.lastModified}`
const hex = buffer => Array.from(new Uint8Array(buffer), b => b.toString(16).padStart(2, '0')).join('')
const size = bytes => bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`

function progress(state, word, done, total) {
  $('bar').value = done / total
  show(state, `${word}: ${size(done)} of ${size(total)}, ${Math.floor(done / total * 100)} %`)
}

function show(state, text) {
  document.body.dataset.state = state
  $('status').textContent = text
}
