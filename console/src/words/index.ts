// Words for people in their language; numbers, money and times as their language writes them.

import { computed, signal } from "@preact/signals";
import { de } from "./de";
import { en } from "./en";

export type Key = keyof typeof en;
export type Words = Record<Key, string>;

export const LANGUAGES: Record<string, { name: string; words: Words }> = {
  en: { name: "English", words: en },
  de: { name: "Deutsch", words: de },
};

const kept = () => {
  try {
    return localStorage.getItem("linefree.language");
  } catch {
    return null;
  }
};
const wished = kept() ?? navigator.languages.map((l) => l.slice(0, 2)).find((l) => l in LANGUAGES) ?? "en";

export const language = signal(wished in LANGUAGES ? wished : "en");
export const store = signal({ currency: "EUR", timezone: "UTC" });

export function speak(code: string) {
  language.value = code;
  try {
    localStorage.setItem("linefree.language", code);
  } catch {
    // Private windows keep nothing; the choice then lasts until the page is closed.
  }
}

/** A text with its {places} filled in. */
export function t(key: Key, places: Record<string, string | number> = {}): string {
  const text = (LANGUAGES[language.value] ?? LANGUAGES.en!).words[key];
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(places[name] ?? ""));
}

// The language decides about words; how dates and money look, the browser's own variant of that language.
const locale = computed(() => navigator.languages.find((l) => l.startsWith(language.value)) ?? language.value);
const formats = computed(() => {
  const money = new Intl.NumberFormat(locale.value, { style: "currency", currency: store.value.currency });
  const zone = { timeZone: store.value.timezone };
  return {
    money,
    digits: money.resolvedOptions().maximumFractionDigits ?? 2,
    time: new Intl.DateTimeFormat(locale.value, { ...zone, timeStyle: "medium" }),
    day: new Intl.DateTimeFormat(locale.value, { ...zone, dateStyle: "medium", timeStyle: "medium" }),
    hour: new Intl.DateTimeFormat(locale.value, { ...zone, weekday: "short", hour: "2-digit", minute: "2-digit" }),
    number: new Intl.NumberFormat(locale.value, { maximumFractionDigits: 1 }),
  };
});

export const money = (minor: number) => formats.value.money.format(minor / 10 ** formats.value.digits);
export const time = (us: number) => formats.value.time.format(us / 1000);
export const day = (us: number) => formats.value.day.format(us / 1000);
export const hour = (us: number) => formats.value.hour.format(us / 1000);
export const number = (n: number) => formats.value.number.format(n);
/** Never 100 % unless it is. */
export const percent = (p: number) => (p >= 1 ? 100 : Math.floor(p * 100));
