// Progressive enhancement: every page also works without JavaScript.
"use strict";

// Remove a link's token from the address bar and the history once its page is loaded.
const addressed = document.querySelector("[data-address]");
if (addressed) history.replaceState(history.state, "", addressed.dataset.address);

// Remaining time, in a format whose width doesn't jump.
const clockText = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
const lang = document.documentElement.lang;
const inUnits = (amount, unit) => new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "long" }).format(amount);
const spoken = (seconds) => (seconds >= 60 ? inUnits(Math.round(seconds / 60), "minute") : inUnits(seconds, "second"));

// The server writes times in UTC; show them in the reader's time zone, and UTC as the title.
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
    // Recent times are shown as how long ago; the title has the time itself.
    if (!("ago" in time.dataset) || past < 0 || past >= 7 * 86400) continue;
    const [unit, seconds] = UNITS.find((each) => past >= each[1]) || ["second", past + 1];
    time.title = here;
    time.textContent = ago.format(-Math.floor(past / seconds), unit);
  }
};

// Call `each` once a second with the whole seconds left, down to 0.
// It computes them from the end time, not by counting ticks, so that a tab that was asleep is correct.
const countDown = (seconds, each) => {
  const end = Date.now() + seconds * 1000;
  const step = () => {
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    each(left);
    if (left > 0) setTimeout(step, (end - Date.now()) % 1000 || 1000);
  };
  step();
};

// How long the code is valid: shown every second, announced to screen readers only at these seconds.
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

// A new code can be requested after a wait; the server enforces it, this only shows it.
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

// When a rate-limited request can be retried; the server enforces it, this only shows it.
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

// Continue automatically once the link was opened and approved on another device. Polls with a growing delay, and not
// while the page is hidden.
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
    } catch { /* The server can't be reached; the next poll tries again. */ }
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

// Submit a code with its last digit, but never the same code twice: a corrected one is submitted again.
const sent = new WeakMap();
const send = (input, code) => {
  if (code.length !== Number(input.dataset.submitAt) || sent.get(input) === code) return;
  sent.set(input, code);
  input.form.requestSubmit(input.form.querySelector("button.button-main"));
};

// Fill in the code from a text message with WebOTP, if the user agrees.
for (const input of document.querySelectorAll("[data-by-text]")) {
  if (!("OTPCredential" in window)) break;
  const stop = new AbortController();
  input.form.addEventListener("submit", () => stop.abort());
  navigator.credentials.get({ otp: { transport: ["sms"] }, signal: stop.signal }).then((found) => {
    input.value = found.code;
    send(input, found.code);
  }).catch(() => { /* The user declined, or it timed out: the code can still be entered. */ });
}

// In a group with its own button, Enter presses that button instead of the form's first.
for (const group of document.querySelectorAll("[data-enter]")) {
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.target.tagName !== "INPUT") return;
    event.preventDefault();
    event.target.form.requestSubmit(group.querySelector("button"));
  });
}

// Screen readers don't announce a live region's initial content, only changes, so insert notices again.
setTimeout(() => {
  for (const notice of document.querySelectorAll(".notice")) notice.replaceChildren(...notice.childNodes);
}, 200);

// Ignore a second submission while the first is in progress.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.hasAttribute("aria-busy")) event.preventDefault();
    form.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", (event) => {
  // Reload a signed-in page from the back/forward cache: the user may have signed out in the meantime.
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

// A field that isn't only for phone numbers: show the country once a number without + is entered.
for (const country of document.querySelectorAll("[data-country-of]")) {
  const typed = document.getElementById(country.dataset.countryOf);
  const show = () => { country.hidden = !/^[\s(]*\p{Nd}[^@]*$/u.test(typed.value); };
  typed.addEventListener("input", show);
  show();
}

// Switch the language as soon as one is selected; without JavaScript there is a button.
for (const form of document.querySelectorAll("[data-languages]")) {
  form.querySelector("button").hidden = true;
  form.querySelector("select").addEventListener("change", () => form.requestSubmit());
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// Refresh a list automatically: fetch the page again and replace the list.
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
    } catch { /* The server can't be reached; the next poll tries again. */ }
  };
  const timer = setInterval(refresh, Number(list.dataset.refresh) * 1000);
}

// Regroup entries by day in the reader's time zone: the server groups them by day in UTC.
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
