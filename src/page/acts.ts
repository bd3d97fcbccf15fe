import type { MirrorStatus } from '../mirror/status.ts';
import { command, Refusal, token } from './api.ts';
import { make, part, setHidden, setText } from './dom.ts';
import { counted } from './format.ts';
import { placesText } from './places.ts';

/** What a person does with a mirror: asked for, told what will happen, confirmed, done. */
interface Act {
  readonly title: string;
  readonly consequence: string;
  readonly confirm: string;
  readonly path: string;
  readonly body: () => unknown;
  /** More to be filled in. */
  readonly fields?: HTMLElement;
}

function pathOf(mirror: string, action: string): string {
  return `/api/v1/mirrors/${encodeURIComponent(mirror)}/${action}`;
}

/** The buttons of one mirror. */
export class MirrorActs {
  readonly element: HTMLElement = make('div', { class: 'acts' });
  readonly #name: string;
  readonly #flow: HTMLButtonElement = make('button', { type: 'button' });
  readonly #seek: HTMLButtonElement = make('button', { type: 'button' }, 'Seek…');
  #mirror: MirrorStatus | undefined;

  constructor(name: string, confirmation: Confirmation) {
    this.#name = name;
    this.element.append(this.#flow, this.#seek);
    this.#seek.setAttribute('aria-label', `Seek ${name}`);
    this.#flow.addEventListener('click', () => {
      confirmation.ask(this.#isHeld() ? this.#resume() : this.#pause());
    });
    this.#seek.addEventListener('click', () => {
      confirmation.ask(this.#seekTo());
    });
  }

  show(mirror: MirrorStatus): void {
    this.#mirror = mirror;
    const word = this.#isHeld() ? 'Resume' : 'Pause';
    setText(this.#flow, `${word}…`);
    this.#flow.setAttribute('aria-label', `${word} ${this.#name}`);
    this.#seek.disabled = mirror.topics.length === 0;
  }

  #isHeld(): boolean {
    const held = this.#mirror?.topics.some(
      ({ state }) => state === 'paused' || state === 'stopped',
    );
    return this.#mirror?.state === 'paused' || this.#mirror?.state === 'halted' || held === true;
  }

  #pause(): Act {
    return {
      title: `Pause ${this.#name}?`,
      consequence:
        'Nothing more is sent until somebody resumes it, restarts included. Devices are served, and records wait in the log as long as its retention and the disk allow.',
      confirm: 'Pause',
      path: pathOf(this.#name, 'pause'),
      body: () => ({}),
    };
  }

  #resume(): Act {
    const waiting = counted(this.#mirror?.lagRecords ?? 0, 'record');
    return {
      title: `Resume ${this.#name}?`,
      consequence: `It goes on where it stopped; ${waiting} to send.`,
      confirm: 'Resume',
      path: pathOf(this.#name, 'resume'),
      body: () => ({}),
    };
  }

  #seekTo(): Act {
    const topic = make('select');
    topic.id = 'seek-topic';
    for (const { topic: name } of this.#mirror?.topics ?? [])
      topic.append(make('option', {}, name));
    const to = make('input', { type: 'text' });
    to.id = 'seek-to';
    to.required = true;
    to.autocomplete = 'off';
    const label = make('label', {});
    label.htmlFor = to.id;
    const describe = (): void => {
      const chosen = this.#mirror?.topics.find((one) => one.topic === topic.value);
      setText(label, placesText(chosen?.partitions ?? []));
    };
    topic.addEventListener('change', describe);
    describe();
    const fields = make(
      'div',
      { class: 'fields' },
      labelled(topic, 'Topic'),
      make('div', {}, label, to),
    );
    return {
      title: `Move ${this.#name}?`,
      consequence:
        'Forward: what is skipped is never sent, and stands in the loss ledger. Back: records are sent again, and the far side has them twice.',
      confirm: 'Move',
      path: pathOf(this.#name, 'seek'),
      body: () => ({ topic: topic.value, to: to.value.trim() }),
      fields,
    };
  }
}

function labelled(field: HTMLElement, text: string): HTMLElement {
  const label = make('label', {}, text);
  label.htmlFor = field.id;
  return make('div', {}, label, field);
}

/** Asks before anything is done, and says what it leads to. The browser gives the focus back. */
export class Confirmation {
  readonly #dialog: HTMLDialogElement = part('confirm') as HTMLDialogElement;
  readonly #key: HTMLInputElement = part('confirm-token') as HTMLInputElement;
  readonly #go: HTMLButtonElement = part('confirm-go') as HTMLButtonElement;
  readonly #trouble: HTMLElement = part('confirm-trouble');
  #act: Act | undefined;

  constructor() {
    part('confirm-cancel').addEventListener('click', () => this.#dialog.close());
    part('confirm-form').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#send();
    });
  }

  ask(act: Act): void {
    this.#act = act;
    setText(part('confirm-title'), act.title);
    setText(part('confirm-text'), act.consequence);
    setText(this.#go, act.confirm);
    part('confirm-fields').replaceChildren(...(act.fields === undefined ? [] : [act.fields]));
    this.#key.value = token();
    setHidden(this.#trouble, true);
    this.#go.disabled = false;
    this.#dialog.showModal();
  }

  async #send(): Promise<void> {
    const act = this.#act;
    if (act === undefined) return;
    this.#go.disabled = true;
    try {
      await command(act.path, act.body(), this.#key.value.trim());
      this.#dialog.close();
    } catch (error) {
      const said = error instanceof Refusal ? error.message : 'the agent can not be reached';
      setText(this.#trouble, `Not done: ${said}`);
      setHidden(this.#trouble, false);
      this.#go.disabled = false;
    }
  }
}
