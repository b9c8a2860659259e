// Keeps a page up to date; without it, all works by reloading.
"use strict";
(() => {
  const body = document.body;
  const one = (within, selector) => within && within.querySelector(selector);
  const put = (within, selector, text) => {
    const place = one(within, selector);
    if (place && place.textContent !== text) place.textContent = text;
  };

  // Times, lengths and sizes, as the server writes them.
  const relative = (at) => {
    const seconds = Math.round((Date.now() - at) / 1000);
    const size = Math.abs(seconds);
    if (size < 2) return "just now";
    const text = size < 120 ? size + " s" : size < 7200 ? Math.floor(size / 60) + " min"
      : size < 172800 ? Math.floor(size / 3600) + " h" : Math.floor(size / 86400) + " days";
    return seconds > 0 ? text + " ago" : "in " + text;
  };
  const length = (seconds) => {
    const whole = Math.floor(seconds);
    if (whole < 10) return seconds < 0.1 ? Math.round(seconds * 1000) + " ms" : seconds.toFixed(1) + " s";
    const pair = (great, small, a, b) => great + " " + a + (small ? " " + small + " " + b : "");
    if (whole < 60) return whole + " s";
    if (whole < 3600) return pair(Math.floor(whole / 60), whole % 60, "min", "s");
    if (whole < 86400) return pair(Math.floor(whole / 3600), Math.floor(whole % 3600 / 60), "h", "min");
    return pair(Math.floor(whole / 86400), Math.floor(whole % 86400 / 3600), "days", "h");
  };
  const bytes = (count) => {
    let size = count;
    for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
      if (size < 999.95) return unit === "B" ? count + " B" : size.toFixed(1) + " " + unit;
      size /= 1000;
    }
    return size.toFixed(1) + " PB";
  };
  const number = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");

  // Every time: how long ago, and the clock's where the viewer is.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const brief = { weekday: "short", hour: "2-digit", minute: "2-digit" };
  const short = new Intl.DateTimeFormat("en-GB", brief);
  const refresh = () => {
    for (const time of document.querySelectorAll("time[title]")) {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) continue;
      const text = relative(at);
      if (time.textContent !== text) time.textContent = text;
      if (time.dataset.told) continue;
      time.dataset.told = "1";
      if (zone !== "UTC") time.title += "\n" + clock.format(at) + " " + zone;
      const theirs = time.dataset.zone;
      const beside = time.nextElementSibling;
      const here = short.format(at);
      if (theirs && beside && beside.tagName === "SMALL" && here !== new Intl.DateTimeFormat("en-GB", { ...brief, timeZone: theirs }).format(at)) {
        beside.textContent += ", " + here + " here";
      }
    }
  };
  refresh();
  setInterval(refresh, 10000);

  // `/` goes to the search; what may be sent by choosing is.
  document.addEventListener("keydown", (event) => {
    const find = one(document, "[data-find]");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || !find) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    event.preventDefault();
    find.focus();
  });
  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form && form.dataset.submit !== undefined) form.submit();
  });

  const news = (text) => put(document, "#news", text);
  const bar = (within, percent) => {
    const whole = Math.floor(percent);
    const progress = one(within, "progress");
    if (progress) progress.value = whole;
    put(within, ".percent", whole + " %");
  };

  // Follows a log while its end is in sight.
  const LONGEST = 2000;
  const add = (line) => {
    const sections = [...document.querySelectorAll("[data-task]")];
    const section = sections.find((it) => it.dataset.task === line.task) || sections.find((it) => it.dataset.task === "");
    const log = one(section, ".log");
    if (!log || document.getElementById("l" + line.seq)) return;
    const follows = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
    const item = document.createElement("li");
    item.id = "l" + line.seq;
    item.className = line.level;
    const piece = (name, text) => {
      const element = document.createElement(name);
      element.textContent = text;
      item.append(element, " ");
    };
    piece("time", new Date(line.at).toISOString().slice(11, 19));
    piece("b", line.level);
    piece("span", line.message);
    log.append(item);
    put(document, "[data-lines]", number(line.seq));
    while (log.childElementCount > LONGEST) log.firstElementChild.remove();
    if (follows) log.scrollTop = log.scrollHeight;
  };

  // Symbols and colours of states that a task goes through.
  const looks = {
    succeeded: ["yes", "good"], running: ["half", "live"], failed: ["no", "bad"],
    pending: ["dots", "calm"], waiting: ["dots", "calm"], cancelled: ["stop", "calm"], skipped: ["skip", "calm"], refused: ["bar", "bad"], busy: ["lock", "warn"],
  };
  const become = (mark, state) => {
    const look = looks[state];
    const word = state === "pending" ? "waiting" : state;
    if (!mark || !look || mark.lastChild.textContent === word) return;
    mark.className = "mark " + look[1];
    one(mark, "use").setAttribute("href", "#" + look[0]);
    mark.lastChild.textContent = word;
  };
  // A task's phases: the newest goes on, or the next one follows it.
  const phase = (section, text) => {
    const last = one(section, ".phases > :last-child");
    if (!text || !last || last.textContent === text) return;
    const name = (words) => words.split(":")[0];
    if (name(last.textContent) === name(text)) {
      last.textContent = text;
      return;
    }
    last.textContent = last.textContent.replace(/\d+ %$/, "100 %");
    const next = document.createElement("li");
    next.textContent = text;
    last.after(next);
  };
  // A task's steps: the bar as the server draws it, and their names.
  const stages = (section, all) => {
    const box = one(section, ".steps");
    if (!box || !all.length) return;
    const [bar, list] = box.children;
    const sum = all.reduce((sum, step) => sum + step.seconds, 0) || 1;
    let x = 0;
    box.hidden = false;
    bar.replaceChildren();
    list.replaceChildren();
    all.forEach((step, place) => {
      const rect = document.createElementNS(bar.namespaceURI, "rect");
      const look = { class: "s" + place % 4, x, width: Math.max(2, Math.round(step.seconds / sum * 1000)), height: 1 };
      for (const name in look) rect.setAttribute(name, look[name]);
      const item = document.createElement("li");
      item.className = look.class;
      item.append(step.name + " ", document.createElement("b"));
      item.lastChild.textContent = length(step.seconds);
      bar.append(rect);
      list.append(item);
      x += look.width;
    });
    bar.setAttribute("viewBox", "0 0 " + x + " 1");
  };
  const run = (now) => {
    become(one(document, "#state .mark"), now.state);
    const live = now.state === "pending" || now.state === "running";
    for (const part of document.querySelectorAll("[data-while]")) part.hidden = (part.dataset.while === "live") !== live;
    if (!live) news("The run has ended. Refresh for all that can be done now.");
    const said = one(document, "[data-message]");
    if (said && now.message) {
      said.firstElementChild.textContent = now.message;
      said.className = "notice " + (now.state === "succeeded" ? "good" : "bad");
      said.hidden = false;
    }
    bar(one(document, "[data-total]"), now.percent);
    const totals = one(document, ".sums");
    put(document, "[data-step]", now.step);
    put(totals, "[data-rows]", number(now.rows));
    put(totals, "[data-bytes]", bytes(now.bytes));
    put(totals, "[data-elapsed]", length(now.elapsed_seconds));
    put(totals, "[data-errors]", number(now.errors));
    put(totals, "[data-warnings]", number(now.warnings));
    for (const task of now.tasks) {
      const section = [...document.querySelectorAll("[data-task]")].find((it) => it.dataset.task === task.name);
      if (!section) continue;
      bar(one(section, "[data-bar]"), task.percent);
      put(section, "[data-rows]", number(task.rows));
      put(section, "[data-bytes]", bytes(task.bytes));
      put(section, "[data-took]", length(task.duration_seconds));
      phase(section, task.phase);
      stages(section, task.steps);
      become(one(section, "[data-mark] .mark"), task.state);
    }
  };

  const overview = (all) => {
    const there = [...document.querySelectorAll("[data-run]")];
    for (const now of all) {
      const row = there.find((it) => it.dataset.run === now.id);
      put(row, "[data-step]", now.step);
      put(row, "[data-pace]", now.pace);
      bar(row, now.percent);
      become(one(row, ".mark"), now.state);
    }
    const same = all.length === there.length && all.every((now) => there.some((it) => it.dataset.run === now.id));
    if (!same) news("Something has started or ended: refresh to see it.");
  };

  if (body.dataset.live && window.EventSource) {
    const last = body.dataset.last;
    const source = new EventSource(body.dataset.live + (last ? "?after=" + encodeURIComponent(last) : ""));
    const listen = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
    listen("run", run);
    listen("log", add);
    listen("overview", overview);
    listen("end", () => source.close());
    source.onerror = () => news("The connection was lost; it comes back by itself, or refresh.");
    source.onopen = () => news("");
    for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
  }
})();
