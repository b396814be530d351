// What web pages try in a browser. Each call opens the page named by PAGE_URL and prints, as JSON, the status of every
// request that reached the broker, and what the page itself could read.
import { chromium } from 'playwright-core';

const { PAGE_URL: pageUrl, BROKER_URL: broker, TOKEN: token, SOUND: sound } = process.env;
const CHAT = { model: 'fake-chat', messages: [{ role: 'user', content: 'word word' }] };

const scripts = {
  // A form that is sent needs no preflight, and its answer replaces the page. It is waited for until it is loaded: the
  // browser never ends if it is told to close while a page is being replaced.
  async form(page) {
    await Promise.all([
      page.waitForURL((url) => url.pathname === '/v1/audio/transcriptions'),
      page.evaluate(sendForm, { url: `${broker}/v1/audio/transcriptions`, sound }),
    ]);
  },
  // A sandboxed frame has the origin "null". Its answers are not reported here: it loads once with the form, and once
  // with the answer.
  async sandboxed(page) {
    const inside = `<body><script>${sendForm}
      onload = () => setTimeout(sendForm, 0, ${JSON.stringify({ url: `${broker}/v1/audio/translations`, sound })});
    </script>`;
    return page.evaluate((text) => {
      const frame = document.createElement('iframe');
      let loads = 0;
      const answered = new Promise((resolve) => {
        frame.onload = () => (++loads === 2 ? resolve('answered') : undefined);
      });
      frame.sandbox = 'allow-scripts allow-forms';
      frame.srcdoc = text;
      document.body.append(frame);
      return answered;
    }, inside);
  },
  // Nor does `fetch` of a form or a text, whose answer the page may not read.
  noCors: (page) => page.evaluate(fetchForm, { url: `${broker}/v1/audio/transcriptions`, mode: 'no-cors', sound }),
  async noCorsText(page) {
    return page.evaluate(async ({ url, body }) => {
      const answer = await fetch(url, { method: 'POST', mode: 'no-cors', body });
      return answer.type;
    }, { url: `${broker}/v1/chat/completions`, body: JSON.stringify(CHAT) });
  },
  async beacon(page) {
    await Promise.all([
      page.waitForResponse((answer) => answer.url().includes('/v1/chat/completions')),
      page.evaluate(({ url, body }) => navigator.sendBeacon(url, body), {
        url: `${broker}/v1/chat/completions`,
        body: JSON.stringify(CHAT),
      }),
    ]);
  },
  // JSON needs a preflight, unless the page and the broker are one origin.
  json: (page) => page.evaluate(fetchJson, { url: `${broker}/v1/chat/completions`, body: CHAT, token }),
  ownJson: (page) => page.evaluate(fetchJson, { url: '/v1/chat/completions', body: CHAT, token }),
  ownForm: (page) => page.evaluate(fetchForm, { url: '/v1/audio/transcriptions', mode: 'same-origin', sound }),
  unknownModel: (page) =>
    page.evaluate(fetchJson, { url: `${broker}/v1/chat/completions`, body: { ...CHAT, model: 'none' }, token }),
  stream: (page) =>
    page.evaluate(fetchJson, { url: `${broker}/v1/chat/completions`, body: { ...CHAT, stream: true }, token }),
  upload: (page) => page.evaluate(fetchForm, { url: `${broker}/v1/audio/transcriptions`, mode: 'cors', sound }),
  models: (page) => page.evaluate(read, { url: `${broker}/v1/models` }),
  bills: (page) => page.evaluate(read, { url: `${broker}/billing/usage`, token }),
};

function sendForm({ url, sound }) {
  const form = document.createElement('form');
  Object.assign(form, { method: 'POST', enctype: 'multipart/form-data', action: url });
  const model = Object.assign(document.createElement('input'), { name: 'model', value: 'fake-stt' });
  const file = Object.assign(document.createElement('input'), { type: 'file', name: 'file' });
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(sound), (one) => one.charCodeAt(0))], 'a.wav', { type: 'audio/wav' }));
  file.files = files.files;
  form.append(model, file);
  document.body.append(form);
  form.submit();
}

async function fetchForm({ url, mode, sound }) {
  const body = new FormData();
  body.append('model', 'fake-stt');
  body.append('file', new File([Uint8Array.from(atob(sound), (one) => one.charCodeAt(0))], 'a.wav', { type: 'audio/wav' }));
  try {
    const answer = await fetch(url, { method: 'POST', mode, body });
    return answer.type === 'opaque' ? 'opaque' : { status: answer.status, requestId: answer.headers.get('x-request-id') };
  } catch (error) {
    return String(error);
  }
}

async function fetchJson({ url, body, token }) {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}`, 'x-hero-context': 'a page' };
  try {
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += decoder.decode(part.value);
    return { status: answer.status, requestId: answer.headers.get('x-request-id'), text };
  } catch (error) {
    return String(error);
  }
}

async function read({ url, token }) {
  try {
    const answer = await fetch(url, token ? { headers: { authorization: `Bearer ${token}` } } : {});
    return { status: answer.status, text: await answer.text() };
  } catch (error) {
    return String(error);
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  timeout: 100_000,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--host-resolver-rules=MAP *.test 127.0.0.1',
  ],
});
try {
  const context = await browser.newContext();
  context.setDefaultTimeout(40_000);
  const printed = {};
  for (const name of process.argv.slice(2)) {
    const page = await context.newPage();
    await page.goto(pageUrl);
    const statuses = [];
    page.on('response', (answer) => {
      if (answer.url().includes('/v1/') || answer.url().includes('/billing/')) statuses.push(answer.status());
    });
    console.error(name);
    const told = await scripts[name](page);
    printed[name] = { statuses, read: told ?? null };
  }
  console.log(JSON.stringify(printed));
} finally {
  await browser.close();
}
