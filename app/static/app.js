// Latchkey. What a page can do better with a script; each works without it too.
"use strict";

// A link's token has no business in the address bar or the history once its page is there.
const addressed = document.querySelector("[data-address]");
if (addressed) history.replaceState(history.state, "", addressed.dataset.address);

// Time left, in words that do not jump about in width.
const clockText = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
const lang = document.documentElement.lang;
const inUnits = (amount, unit) => new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "long" }).format(amount);
const spoken = (seconds) => (seconds >= 60 ? inUnits(Math.round(seconds / 60), "minute") : inUnits(seconds, "second"));

// The server writes times in UTC; here they stand as the reader's own clock has them, and UTC stays behind.
const clockHere = new Intl.DateTimeFormat(lang === "en" ? "en-GB" : lang, {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
const timeHere = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" });
const dayHere = new Intl.DateTimeFormat(lang === "en" ? "en-GB" : lang, { dateStyle: "full" });
const ago = new Intl.RelativeTimeFormat(lang, { numeric: "auto" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const writeTimes = (root) => {
  for (const time of root.querySelectorAll("time[datetime$='+00:00']")) {
    const here = clockHere.format(new Date(time.dateTime));
    if ("timeOfDay" in time.dataset) {
      time.title = here;
      time.textContent = timeHere.format(new Date(time.dateTime));
      continue;
    }
    const past = (Date.now() - new Date(time.dateTime)) / 1000;
    time.title = time.textContent;
    time.textContent = here;
    // What was lately is told by how long ago; the moment itself is a touch away.
    if (!("ago" in time.dataset) || past < 0 || past >= 7 * 86400) continue;
    const [unit, seconds] = UNITS.find((each) => past >= each[1]) || ["second", past + 1];
    time.title = here;
    time.textContent = ago.format(-Math.floor(past / seconds), unit);
  }
};

// Call `each` with the whole seconds left, once a second, until none is left.
// The end is a moment, not a count of ticks: a sleeping tab wakes up right.
const countDown = (seconds, each) => {
  const end = Date.now() + seconds * 1000;
  const step = () => {
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    each(left);
    if (left > 0) setTimeout(step, (end - Date.now()) % 1000 || 1000);
  };
  step();
};

// How long the code works: shown each second, read out only at these seconds.
const announced = new Set([300, 120, 60, 30, 10]);
for (const clock of document.querySelectorAll("[data-clock]")) {
  const part = (name) => clock.querySelector(`[data-clock-${name}]`);
  countDown(Number(clock.dataset.clock), (left) => {
    part("left").textContent = clockText(left);
    if (announced.has(left)) part("voice").textContent = clock.dataset.clockSays.replace("{time}", spoken(left));
    if (left > 0) return;
    part("running").hidden = true;
    part("over").hidden = false;
    part("voice").textContent = part("over").textContent;
  });
}

// Asking again has to wait; the server keeps the time, this only shows it.
for (const resend of document.querySelectorAll("[data-resend]")) {
  const wait = resend.querySelector("[data-resend-wait]");
  if (!wait) continue;
  const button = resend.querySelector("button");
  button.disabled = true;
  countDown(Number(resend.dataset.resend), (left) => {
    wait.querySelector("[data-resend-left]").textContent = clockText(left);
    if (left > 0) return;
    button.disabled = false;
    wait.hidden = true;
  });
}

// A request that was one of too many may come again; the server keeps the time, this only shows it.
for (const wait of document.querySelectorAll("[data-wait]")) {
  const part = (name) => wait.querySelector(`[data-wait-${name}]`);
  countDown(Number(wait.dataset.wait), (left) => {
    if (left > 7200) part("left").textContent = inUnits(Math.ceil(left / 3600), "hour");
    else part("left").textContent = left < 60 ? spoken(left) : clockText(left);
    if (left > 0) return;
    part("running").hidden = true;
    part("over").hidden = false;
    part("voice").textContent = part("over").textContent;
  });
}

// A link opened elsewhere lets this page go on by itself. Asked less and less often, and never while nobody looks.
for (const waiting of document.querySelectorAll("[data-waiting]")) {
  const part = (name) => waiting.querySelector(`[data-waiting-${name}]`);
  const button = part("button");
  const first = 2000;
  let delay = first;
  let timer = 0;
  const over = (state) => {
    part("open").hidden = true;
    part(state).hidden = false;
    part("voice").textContent = part(state).textContent;
  };
  const ask = async () => {
    let state = "waiting";
    try {
      const answer = await fetch(waiting.dataset.waiting, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (answer.ok) state = (await answer.json()).response.state;
    } catch { /* The server is away; the next round tries again. */ }
    if (state === "approved") {
      part("voice").textContent = waiting.dataset.waitingApproved;
      button.form.requestSubmit(button);
    } else if (state !== "waiting") {
      over(state);
    } else {
      timer = document.hidden ? 0 : setTimeout(ask, delay);
      delay = Math.min(delay * 1.5, 10000);
    }
  };
  button.hidden = true;
  part("note").hidden = false;
  timer = setTimeout(ask, delay);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || timer) return;
    delay = first;
    ask();
  });
}

// A code pasted as "1234 5678" or "1234-5678" becomes 12345678.
for (const input of document.querySelectorAll("[data-code]")) {
  input.addEventListener("input", (event) => {
    if (event.isComposing || !/^[\d\s\-\u2010-\u2015]+$/.test(input.value)) return;
    const tidy = input.value.replace(/\D/g, "");
    if (tidy !== input.value) input.value = tidy;
    send(input, tidy);
  });
}

// A code is sent with its last digit, the same one only once: who corrects it sends the next.
const sent = new WeakMap();
const send = (input, code) => {
  if (code.length !== Number(input.dataset.submitAt) || sent.get(input) === code) return;
  sent.set(input, code);
  input.form.requestSubmit(input.form.querySelector("button.button-main"));
};

// A text message that names this site and the code (WebOTP) fills it in, once its reader agrees.
for (const input of document.querySelectorAll("[data-by-text]")) {
  if (!("OTPCredential" in window)) break;
  const stop = new AbortController();
  input.form.addEventListener("submit", () => stop.abort());
  navigator.credentials.get({ otp: { transport: ["sms"] }, signal: stop.signal }).then((found) => {
    input.value = found.code;
    send(input, found.code);
  }).catch(() => { /* Nobody agreed, or it came too late: it can still be typed. */ });
}

// Enter in a group with a button of its own presses that one, not the form's first.
for (const group of document.querySelectorAll("[data-enter]")) {
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.target.tagName !== "INPUT") return;
    event.preventDefault();
    event.target.form.requestSubmit(group.querySelector("button"));
  });
}

// What stands on a page from the start is not read out; what comes into a live region later is.
setTimeout(() => {
  for (const notice of document.querySelectorAll(".notice")) notice.replaceChildren(...notice.childNodes);
}, 200);

// A second press while the first is under way sends nothing more.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.hasAttribute("aria-busy")) event.preventDefault();
    form.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", (event) => {
  // What a browser kept of somebody's page is asked for anew: they may have signed out since.
  if (event.persisted && document.querySelector("form[action$='/logout']")) {
    document.body.replaceChildren();
    location.reload();
  }
  for (const form of document.querySelectorAll("form[data-once]")) form.removeAttribute("aria-busy");
});

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  const words = button.textContent;
  const voice = button.parentElement.querySelector("[data-copy-voice]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    const kept = document.getElementById(button.dataset.copy);
    const lines = [...kept.querySelectorAll("li")].map((line) => line.textContent.trim());
    try {
      await navigator.clipboard.writeText(lines.length ? lines.join("\n") : kept.textContent.replace(/[\s-]/g, ""));
      button.textContent = voice.textContent = button.dataset.copyDone;
    } catch {
      button.textContent = voice.textContent = button.dataset.copyFailed;
    }
    setTimeout(() => { button.textContent = words; voice.textContent = ""; }, 2500);
  });
}

// A field for more than phone numbers: the country shows once a number without + is typed there.
for (const country of document.querySelectorAll("[data-country-of]")) {
  const typed = document.getElementById(country.dataset.countryOf);
  const show = () => { country.hidden = !/^[\s(]*\p{Nd}[^@]*$/u.test(typed.value); };
  typed.addEventListener("input", show);
  show();
}

// A language is used as soon as it is chosen; without the script there is a button.
for (const form of document.querySelectorAll("[data-languages]")) {
  form.querySelector("button").hidden = true;
  form.querySelector("select").addEventListener("change", () => form.requestSubmit());
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// A list that keeps itself fresh: the page is fetched again, and its list put in.
for (const list of document.querySelectorAll("[data-refresh]")) {
  if (!Number(list.dataset.refresh)) continue;
  let shown = list.innerHTML;
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(list.dataset.refreshFrom, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-refresh]");
      if (!fresh || fresh.innerHTML === shown) return;
      shown = fresh.innerHTML;
      writeTimes(fresh);
      const held = list.contains(document.activeElement) ? document.activeElement.id : "";
      list.replaceChildren(...fresh.childNodes);
      if (held) document.getElementById(held)?.focus();
      document.querySelector("[data-refresh-voice]").textContent = list.dataset.refreshSays;
      if (!Number(fresh.dataset.refresh)) clearInterval(timer);
    } catch { /* The server is away; the next round tries again. */ }
  };
  const timer = setInterval(refresh, Number(list.dataset.refresh) * 1000);
}

// Days are the reader's own, too: what the server lists below a day of UTC may belong to the one before or after.
for (const list of document.querySelectorAll("[data-days]")) {
  const days = [];
  for (const item of list.querySelectorAll("li")) {
    const name = dayHere.format(new Date(item.querySelector("time").dateTime));
    if (days.at(-1)?.firstElementChild.textContent !== name) {
      const day = list.firstElementChild.cloneNode(true);
      day.firstElementChild.textContent = name;
      day.lastElementChild.replaceChildren();
      days.push(day);
    }
    days.at(-1).lastElementChild.append(item);
  }
  list.replaceChildren(...days);
}

writeTimes(document);
