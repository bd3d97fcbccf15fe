import type { AgentEvent } from '../admin/event-book.ts';
import { make, part } from './dom.ts';
import { shortMoment } from './format.ts';

const SHOWN = 100;

/** What happened, the latest first. */
export class Happenings {
  readonly #list = part('events');

  add(event: AgentEvent): void {
    const time = make('time', {}, shortMoment(event.time));
    time.dateTime = event.time;
    const level = make('span', { class: `level ${event.level}` }, event.level);
    this.#list.prepend(make('li', {}, time, level, make('span', {}, event.message)));
    while (this.#list.children.length > SHOWN) this.#list.lastElementChild?.remove();
  }
}
