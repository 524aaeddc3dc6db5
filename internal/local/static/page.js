// The product page: it draws what GET /v1/status says and calls one address for each procedure. It decides nothing.
'use strict';

const $ = id => document.getElementById(id);
let status; // the last one drawn

// el makes an element; children are elements or text, never markup.
function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
  e.append(...children.filter(c => c !== null && c !== undefined));
  return e;
}

class Refusal extends Error {
  constructor(code, problem) {
    super(problem.detail || 'The daemon answered ' + code);
    this.status = code; this.code = problem.code; this.hint = problem.hint || '';
  }
}

async function call(method, path, body) {
  let r;
  try {
    r = await fetch(path, {
      method, headers: body === undefined ? {} : {'Content-Type': 'application/json'},
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refusal(0, {code: 'away', detail: 'The daemon does not answer.', hint: 'Start it again: tally-agent serve. The product goes on working.'});
  }
  const text = await r.text();
  let doc = {};
  try { doc = JSON.parse(text); } catch { /* not JSON: the number says it */ }
  if (r.status === 401 && path !== '/v1/session') close();
  if (!r.ok) throw new Refusal(r.status, doc);
  return doc;
}

function instant(text) {
  if (!text) return null;
  const at = new Date(text);
  return el('time', {datetime: text, title: text}, at.toLocaleString(undefined, {dateStyle: 'medium', timeStyle: 'short'}));
}

// whenText says how far away an instant is.
function whenText(text) {
  const days = (new Date(text) - Date.now()) / 86400e3;
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang, {numeric: 'auto'});
  return Math.abs(days) < 2 ? words.format(Math.round(days * 24), 'hour') : words.format(Math.round(days), 'day');
}

function date(text, far) {
  if (!text) return null;
  return far ? el('span', {}, instant(text), ' (' + whenText(text) + ')') : instant(text);
}

function attempt(a) {
  if (!a || !a.outcome) return null;
  if (a.outcome === 'FAILED') return el('span', {class: 'bad'}, 'failed on ', instant(a.at), ': ' + (a.reason || 'unknown'));
  return el('span', {}, 'succeeded on ', instant(a.at));
}

function facts(id, rows) {
  $(id).replaceChildren(...rows.filter(r => r[1]).flatMap(([name, value]) => {
    const dd = el('dd', {}, value);
    if (value.className === 'bad') dd.className = 'bad';
    return [el('dt', {}, name), dd];
  }));
}

function pill(id, text) {
  const good = /^(REGISTERED|AUTHORIZED|RESERVED)/.test(text), bad = /EXPIRED|OUT OF|NOT AUTHORIZED/.test(text);
  const alert = /UNREGISTERED|REGISTERING|EVAL MODE|UNKNOWN|RETURNED|REQUESTED|^ON$/.test(text);
  $(id).textContent = text;
  $(id).className = 'pill ' + (bad ? 'bad' : alert ? 'alert' : good ? 'good' : '');
}

function duration(seconds) {
  const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24;
  return days + (days === 1 ? ' day, ' : ' days, ') + hours + (hours === 1 ? ' hour' : ' hours');
}

const show = (id, yes) => { $(id).hidden = !yes; };

function draw(s) {
  status = s;
  const r = s.registration, a = s.authorization;
  show('closed', false); show('open', true); show('leave', true);
  $('product').textContent = s.product.name + (s.product.version ? ' ' + s.product.version : '');
  $('udi').textContent = s.udi;
  $('version').textContent = 'Smart agent for licensing ' + s.agentVersion;
  $('decision').textContent = s.decision.sentence + (s.decision.next ? ' ' + s.decision.next : '');
  $('findings').replaceChildren(...(s.findings || []).map(f => el('li', {}, f.text + ' ' + f.next)));

  pill('registration-status', r.status);
  $('registration-next').textContent = s.next.registration;
  facts('registration-facts', [
    ['Account', r.account], ['Virtual account', r.virtualAccount], ['Instance', r.instance],
    ['Export-controlled functions', r.account ? (r.exportControlled ? 'allowed' : 'not allowed') : null],
    ['Initial registration', attempt(r.initial)], ['Last renewal', attempt(r.lastRenewal)],
    ['Next attempt', date(r.nextRenewal || r.nextTry, true)], ['Deadline', date(r.expiresAt, true)],
  ]);
  pill('authorization-status', a.status);
  $('authorization-next').textContent = s.next.authorization;
  facts('authorization-facts', [
    ['Since', date(a.since)], ['Last exchange', attempt(a.lastAttempt)],
    ['Next attempt', date(a.nextAttempt, true)], ['Deadline', date(a.deadline, true)],
    ['Evaluation left', r.account ? null : duration(a.evaluationSeconds)],
  ]);
  const registered = r.status === 'REGISTERED' || r.status === 'REGISTRATION EXPIRED';
  $('register-open').textContent = registered ? 'Reregister…' : 'Register…';
  $('register-open').className = registered ? '' : 'primary';
  $('register').textContent = registered ? 'Reregister' : 'Register';
  const member = s.cluster?.role === 'member'; // its holder does the licensing
  show('register-open', !member && !s.reservation?.enabled); show('transport-open', !member); show('privacy-form', !member);
  show('renew-id', registered && !member); show('deregister', registered && !member); show('renew-auth', registered || member);
  show('cancel-registration', r.status === 'REGISTERING' && !member);
  show('cluster', !!s.cluster); show('cluster-table', !!s.cluster?.nodes);
  if (s.cluster) {
    $('cluster-text').textContent = member ? 'Node ' + s.cluster.node + ' reports through the node ' + s.cluster.holder + ' at ' + s.cluster.address + '.'
      : 'Node ' + s.cluster.node + ' holds the identity; members reach it at ' + s.cluster.address + '.';
    $('nodes').replaceChildren(...(s.cluster.nodes || []).map(n => el('tr', {}, el('th', {scope: 'row'}, n.name), el('td', {}, instant(n.heardAt)),
      el('td', {}, Object.entries(n.usage || {}).map(([tag, count]) => tag + ' ' + count).join(', ') || 'nothing',
        el('span', {class: 'hint'}, n.counts ? 'counts for ' + duration(n.remainingSeconds) + ' without another report' : 'silent for too long, no longer counted')))));
  }

  drawReservation(s);
  const rows = (s.licenses || []).map(l => el('tr', {},
    el('td', {}, l.name || l.tag, el('span', {class: 'hint'}, l.tag)), el('td', {class: 'num'}, String(l.count)),
    el('td', {class: 'num'}, String(l.shortage || 0)),
    el('td', {}, l.status, ...(l.why || []).map(w => el('span', {class: 'hint'}, w.text)))));
  $('licenses').replaceChildren(...(rows.length ? rows : [el('tr', {}, el('td', {colspan: '4'}, 'Nothing is in use.'))]));

  const t = s.route || {};
  facts('transport-facts', [
    ['Way', {direct: 'direct', gateway: 'gateway', proxy: 'through a proxy'}[t.type] || 'not set'], ['Address', t.url], ['Proxy', t.proxy],
    ['User', t.user ? t.user + (t.hasPassword ? ', with a password' : ', without a password') : null],
  ]);
  $('send-hostname').checked = !s.privacy.hostname;
  $('send-version').checked = !s.privacy.version;
}

// code shows one code, to be copied or saved.
function code(label, text, name) {
  const copy = el('button', {type: 'button', id: 'copy-' + name}, 'Copy'), save = el('button', {type: 'button', id: 'save-' + name}, 'Save to a file');
  copy.addEventListener('click', async () => { await navigator.clipboard.writeText(text); say('The ' + label.toLowerCase() + ' is copied.'); });
  save.addEventListener('click', () => {
    const url = URL.createObjectURL(new Blob([text + '\n'], {type: 'text/plain'}));
    el('a', {href: url, download: name + '-code.txt'}).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
  return el('div', {}, el('p', {class: 'hint'}, label), el('p', {class: 'code', id: name + '-code'}, text), el('div', {class: 'actions'}, copy, save));
}

function drawReservation(s) {
  const v = s.reservation || {enabled: false}, state = v.enabled ? v.state || 'ON' : 'OFF';
  const registered = s.registration.status === 'REGISTERED' || s.registration.status === 'REGISTRATION EXPIRED' || s.registration.status === 'REGISTERING';
  const may = s.cluster?.role !== 'member';
  pill('reservation-status', {OFF: 'OFF', ON: 'ON'}[state] || state);
  $('reservation-text').textContent = {
    OFF: registered ? 'For sites without a connection. Deregister the product first.' : 'For sites without a connection: licenses are held by codes that people carry.',
    ON: 'Obtain a request code, which is entered at the authority.',
    REQUESTED: 'Enter this code at the authority. It makes an authorization, which is installed here.',
    RESERVED: 'Licenses are reserved for this product' + (v.type === 'UNIVERSAL' ? ', without a limit.' : '.') + ' To modify them, change the quantities at the authority and install its new authorization. Enter the confirmation code there.',
    RETURNED: 'The licenses are given up. Enter the return code at the authority, where the product instance is removed; then complete the return here.',
  }[state];
  const codes = [];
  if (v.enabled && v.requestCode && state === 'REQUESTED') codes.push(code('Request code', v.requestCode, 'request'));
  if (v.confirmationCode) codes.push(code('Confirmation code', v.confirmationCode, 'confirmation'));
  if (v.returnCode) codes.push(code('Return code', v.returnCode, 'return'));
  const text = JSON.stringify([v.requestCode, v.confirmationCode, v.returnCode, state]);
  if ($('codes').dataset.shown !== text) { // a button that has the focus is not drawn anew
    $('codes').replaceChildren(...codes);
    $('codes').dataset.shown = text;
  }
  show('reserved-table', state === 'RESERVED' && (v.licenses || []).length > 0);
  $('reserved').replaceChildren(...(v.licenses || []).map(l => el('tr', {}, el('td', {}, l.name || l.tag, el('span', {class: 'hint'}, l.tag)),
    el('td', {class: 'num'}, String(l.reserved)), el('td', {class: 'num'}, String(l.used)), el('td', {}, date(l.ends) || 'without an end'))));
  show('reservation-enable', may && state === 'OFF' && !registered);
  show('reservation-request', may && state === 'ON');
  show('install-open', may && (state === 'REQUESTED' || state === 'RESERVED'));
  $('install-open').textContent = state === 'RESERVED' ? 'Modify licenses…' : 'Install the authorization…';
  $('install').textContent = state === 'RESERVED' ? 'Update' : 'Install authorization code';
  show('reservation-cancel', may && state === 'REQUESTED');
  show('reservation-return', may && state === 'RESERVED');
  show('reservation-complete', may && state === 'RETURNED');
  show('discard-open', may && state === 'ON');
  show('reservation-disable', may && state === 'ON');
  show('endings-box', (v.endings || []).length > 0);
  $('endings').replaceChildren(...(v.endings || []).map(e => el('li', {}, 'Request ' + e.sequence + ', ' + (e.installed ? 'returned' : 'never installed, given back') + ' on ', instant(e.at), ': ', el('span', {class: 'code'}, e.code))));
}

function close() {
  show('closed', true); show('open', false); show('leave', false);
}

let saidUntil;
function say(text, kind) {
  clearTimeout(saidUntil);
  $('said').textContent = text;
  $('said').className = 'notice ' + (kind || '');
  show('said', true);
  if (!kind) saidUntil = setTimeout(() => show('said', false), 15000);
}

async function refresh() {
  try { draw(await call('GET', '/v1/status')); } catch (e) { if (e.status !== 401) say(e.message + ' ' + e.hint, 'bad'); }
}

// problem shows a refusal beside the form that caused it.
function problem(id, e) {
  $(id).textContent = e ? e.message + (e.hint ? ' ' + e.hint : '') : '';
  show(id, !!e);
}

// busy keeps a button from being pressed twice while its work lasts.
async function busy(button, work) {
  button.disabled = true;
  button.setAttribute('aria-busy', 'true');
  try { return await work(); } finally { button.disabled = false; button.removeAttribute('aria-busy'); }
}

// ask opens the dialog and says whether the answer was yes.
function ask(title, text, yes) {
  $('ask-title').textContent = title;
  $('ask-text').textContent = text;
  $('ask-yes').textContent = yes;
  const dialog = $('ask');
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise(done => dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), {once: true}));
}

// act runs one procedure of a button and says what came of it.
function act(id, work) {
  $(id).addEventListener('click', () => busy($(id), async () => {
    try {
      const said = await work();
      if (said) say(said);
    } catch (e) {
      say(e.message + (e.hint ? ' ' + e.hint : ''), 'bad');
    }
    await refresh();
  }));
}

function opens(button, form, first) {
  $(button).addEventListener('click', () => {
    show(form, true);
    $(button).setAttribute('aria-expanded', 'true');
    if (first) first();
    $(form).querySelector('input:checked, textarea, input')?.focus();
  });
}

function shut(form) {
  show(form, false);
  const button = document.querySelector(`[aria-controls="${form}"]`);
  button?.setAttribute('aria-expanded', 'false');
  button?.focus();
}

for (const b of document.querySelectorAll('[data-close]')) b.addEventListener('click', () => shut(b.dataset.close));

// submits sends a form; a refusal stands beside it.
function submits(form, error, work) {
  $(form).addEventListener('submit', event => {
    event.preventDefault();
    busy(event.submitter || $(form), async () => {
      problem(error);
      try { say(await work()); } catch (e) { problem(error, e); }
      await refresh();
    });
  });
}

opens('register-open', 'register-form', () => { $('force').checked = status.registration.status === 'REGISTRATION EXPIRED'; problem('register-error'); });
submits('register-form', 'register-error', async () => {
  try {
    await call('POST', '/v1/registration', {token: $('token').value.replace(/\s+/g, ''), force: $('force').checked});
  } catch (e) {
    if (e.code === 'already-registered') $('force').checked = true;
    throw e;
  }
  $('token').value = '';
  shut('register-form');
  return 'The product is registered.';
});
act('renew-id', async () => { await call('POST', '/v1/registration/renew'); return 'The registration is renewed.'; });
act('renew-auth', async () => { const a = await call('POST', '/v1/report'); return 'The authorization is renewed: ' + a.status + '.'; });
act('cancel-registration', async () => { await call('POST', '/v1/registration/cancel'); return 'The registration is no longer tried.'; });
act('deregister', async () => {
  const yes = await ask('Deregister this product?', 'All licenses are released for other products, and this product goes back to what is left of its evaluation.', 'Yes, deregister');
  if (!yes) return null;
  const gone = await call('DELETE', '/v1/registration');
  return gone.confirmed ? 'The product is deregistered.' : 'The product is deregistered here. The authority did not hear of it: remove the instance ' + gone.instance + ' there.';
});

// carried is an authorization out of a file or a field.
async function carried(name) {
  const file = $(name + '-file').files[0];
  const text = file ? await file.text() : $(name + '-text').value;
  if (!text.trim()) throw new Refusal(0, {code: 'empty', detail: 'There is no authorization.', hint: 'Choose its file, or paste its text.'});
  return text;
}

act('reservation-enable', async () => {
  const yes = await ask('Reserve licenses for this product?', 'While licenses are reserved the product does not register and reports nothing. A request code is made, which is entered at the authority.', 'Yes, make a request code');
  if (!yes) return null;
  await call('POST', '/v1/reservation/enable', {root: ''});
  await call('POST', '/v1/reservation/request', {above: 0});
  return 'The request code is made.';
});
act('reservation-request', async () => { await call('POST', '/v1/reservation/request', {above: 0}); return 'The request code is made.'; });
act('reservation-cancel', async () => {
  const yes = await ask('Cancel the request?', 'The code becomes void. If the authority has already made an authorization for it, give that back here afterwards.', 'Yes, cancel it');
  if (!yes) return null;
  await call('POST', '/v1/reservation/cancel');
  return 'The request is canceled.';
});
act('reservation-return', async () => {
  const yes = await ask('Give the reserved licenses up?', 'What the product uses is set to zero now, and its licenses cannot be modified any more. The return code that is shown then lets the authority take the licenses back.', 'Yes, create the return code');
  if (!yes) return null;
  await call('POST', '/v1/reservation/return');
  return 'The licenses are given up. Enter the return code at the authority.';
});
act('reservation-complete', async () => {
  const yes = await ask('Is the return code entered at the authority?', 'The return is completed here. The code can still be looked up below.', 'Yes, complete the return');
  if (!yes) return null;
  await call('POST', '/v1/reservation/return/complete');
  return 'The return is completed.';
});
act('reservation-disable', async () => { await call('POST', '/v1/reservation/disable'); return 'The reservation mode is off.'; });
opens('install-open', 'install-form', () => { $('install-form').reset(); problem('install-error'); });
submits('install-form', 'install-error', async () => {
  await call('POST', '/v1/reservation/install', {authorization: await carried('install')});
  shut('install-form');
  return 'The authorization is installed. Enter the confirmation code at the authority.';
});
opens('discard-open', 'discard-form', () => { $('discard-form').reset(); problem('discard-error'); });
submits('discard-form', 'discard-error', async () => {
  const yes = await ask('Give this authorization back?', 'It can never be installed afterwards.', 'Yes, give it back');
  if (!yes) return 'Nothing was given back.';
  const s = await call('POST', '/v1/reservation/return-authorization', {authorization: await carried('discard')});
  shut('discard-form');
  return 'Enter this return code at the authority: ' + s.code;
});

function proxyFields() {
  const kind = $('transport-form').elements.type.value;
  show('proxy-fields', kind === 'proxy');
  $('proxy-url').required = kind === 'proxy';
  $('url-label').textContent = kind === 'gateway' ? 'Address of the satellite or the gateway' : 'Address of the authority';
}
for (const radio of $('transport-form').elements.type) radio.addEventListener('change', proxyFields);
opens('transport-open', 'transport-form', () => {
  const t = status.route || {};
  $(t.type || 'direct').checked = true;
  $('url').value = t.url || '';
  $('proxy-url').value = t.proxy || '';
  $('user').value = t.user || '';
  $('password').value = '';
  $('password-hint').textContent = t.hasPassword ? 'Left empty, the password that is kept stays.' : '';
  problem('transport-error');
  proxyFields();
});
submits('transport-form', 'transport-error', async () => {
  const kind = $('transport-form').elements.type.value, body = {type: kind, url: $('url').value.trim()};
  if (kind === 'proxy') {
    Object.assign(body, {proxy: $('proxy-url').value.trim(), user: $('user').value});
    if ($('password').value) body.password = $('password').value;
  }
  await call('PUT', '/v1/transport', body);
  $('password').value = '';
  shut('transport-form');
  return 'The transport settings are saved.';
});
act('examine', async () => {
  const d = await call('POST', '/v1/doctor', {token: ''});
  $('steps').replaceChildren(...d.steps.map(s => el('tr', {}, el('th', {scope: 'row'}, s.step),
    el('td', {}, el('span', {class: 'pill ' + ({ok: 'good', failed: 'bad'}[s.outcome] || '')}, s.outcome)),
    el('td', {}, s.found, s.mend ? el('strong', {class: 'hint'}, 'Mend: ' + s.mend) : null))));
  show('diagnosis', true);
  return d.healthy ? 'Every step to the authority works.' : null;
});
for (const id of ['send-hostname', 'send-version']) {
  $(id).addEventListener('change', async () => {
    problem('privacy-error');
    try {
      await call('PUT', '/v1/privacy', {hostname: !$('send-hostname').checked, version: !$('send-version').checked});
      say('The privacy settings are saved.');
    } catch (e) { problem('privacy-error', e); }
    await refresh();
  });
}
$('leave').addEventListener('click', async () => { await call('DELETE', '/v1/session').catch(() => {}); close(); });

async function start() {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (code) {
    history.replaceState(null, '', '/');
    try { await call('POST', '/v1/session', {code}); } catch (e) { say(e.message + ' ' + e.hint, 'bad'); }
  }
  await refresh();
  setInterval(() => { if (!document.hidden && !$('open').hidden) refresh(); }, 10000);
}
addEventListener('hashchange', () => { if (location.hash.includes('code=')) location.reload(); });
start();
