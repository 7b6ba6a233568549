"""Memory bank, queue and their losses against loops written from the formulas, in float64."""

import math

import pytest
import torch

from goodviews.interfaces import UserError
from goodviews.objectives import InstDisNCE, MemoryBank, MemorySoftmax, Queue
from goodviews.objectives.negatives import unit

N, D, K = 9, 5, 4


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n, seed=0):
    return torch.randn(n, D, dtype=torch.float64, generator=generator(seed))


def double(memory):
    """With rows of unit length to the last digit of float64."""
    memory.double()
    memory.rows.copy_(unit(memory.rows))
    return memory


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b)
    )


def slow_softmax(scores):
    """Mean over rows of -log softmax at column 0."""
    values = [-s[0] + math.log(sum(math.exp(x) for x in s)) for s in scores]
    return sum(values) / len(values)


def slow_nce(scores, z, n):
    """Wu et al. 2018, eq. 4-6 term by term."""
    total = 0.0
    for row in scores:
        k = len(row) - 1
        for place, s in enumerate(row):
            p = math.exp(s) / z
            h = p / (p + k / n)
            total -= math.log(h) if place == 0 else math.log(1 - h)
    return total / len(scores)


def test_bank_is_its_loop():
    bank = double(MemoryBank(N, D, momentum=0.3, generator=generator()))
    expected = [r.tolist() for r in bank.rows]
    for step in range(4):
        index = torch.randperm(N, generator=generator(step))[:3]
        z = rows(3, step)
        places = bank.draw(index, K, generator(step))
        found = bank(z, places)
        for i in range(3):
            assert places[i, 0] == index[i]
            for column, place in enumerate(places[i].tolist()):
                assert found[i, column] == pytest.approx(
                    cosine(z[i].tolist(), expected[place]), abs=1e-12
                )
        bank.update(index, z)
        for i, place in enumerate(index.tolist()):
            norm = math.sqrt(sum(x * x for x in z[i].tolist()))
            mixed = [
                0.3 * a + 0.7 * b / norm
                for a, b in zip(expected[place], z[i].tolist(), strict=True)
            ]
            length = math.sqrt(sum(x * x for x in mixed))
            expected[place] = [x / length for x in mixed]
        torch.testing.assert_close(
            bank.rows, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
        )


def test_draws_are_uniform_with_or_without_oneself():
    index = torch.zeros(2000, dtype=torch.int64)
    for exclude, others in ((False, N), (True, N - 1)):
        bank = MemoryBank(N, D, exclude_own=exclude)
        counts = bank.draw(index, 50, generator())[:, 1:].flatten().bincount(minlength=N)
        assert (counts[0] == 0) == exclude
        shares = counts[-others:] / counts.sum()
        assert (shares - 1 / others).abs().max() < 4 * math.sqrt(1 / others / 100_000)
    last = torch.full((500,), N - 1)
    drawn = MemoryBank(N, D, exclude_own=True).draw(last, 50, generator())[:, 1:]
    assert drawn.unique().tolist() == list(range(N - 1))


@pytest.mark.parametrize("batch", [2, 3, 4, 11])
def test_queue_is_its_loop(batch):
    """Sizes that divide K, that do not, and batches larger than the queue."""
    queue = double(Queue(K, D, generator=generator()))
    ring, pointer = [r.tolist() for r in queue.rows], 0
    for step in range(5):
        z, keys = rows(batch, 2 * step), rows(batch, 2 * step + 1)
        found = queue(z, keys)
        for i in range(batch):
            candidates = [keys[i].tolist(), *ring]
            expected = [cosine(z[i].tolist(), c) for c in candidates]
            torch.testing.assert_close(found[i].tolist(), expected, rtol=0, atol=1e-12)
        queue.enqueue(keys)
        for key in keys:
            ring[pointer] = (key / key.norm()).tolist()
            pointer = (pointer + 1) % K
        torch.testing.assert_close(queue.rows.tolist(), ring, rtol=0, atol=1e-12)
        assert int(queue.pointer) == pointer


def test_losses_are_their_formulas():
    cosines = torch.rand(6, K + 1, dtype=torch.float64, generator=generator()) * 2 - 1
    scores = (cosines / 0.3).tolist()
    loss, nats = MemorySoftmax(0.3)(cosines)
    assert loss.item() == pytest.approx(slow_softmax(scores), abs=1e-12)
    assert nats.item() == pytest.approx(math.log(K + 1) - slow_softmax(scores), abs=1e-12)
    nce = InstDisNCE(0.3, images=N).double()
    flat = [math.exp(s) for row in scores for s in row]
    z = N * sum(flat) / len(flat)
    loss, also = nce(cosines)
    assert loss.item() == pytest.approx(slow_nce(scores, z, N), rel=1e-12)
    assert also.item() == pytest.approx(nats.item(), abs=1e-12)
    later = cosines.flip(0) * 0.5
    assert nce(later)[0].item() == pytest.approx(  # Z stays what it was
        slow_nce((later / 0.3).tolist(), z, N), rel=1e-12
    )


def test_the_best_scores_reach_the_ceiling_and_no_more():
    cosines = torch.full((4, 100), -1.0)
    cosines[:, 0] = 1.0
    _, nats = MemorySoftmax(0.07)(cosines)
    assert math.log(100) - 1e-4 < nats.item() < math.log(100) + 1e-6  # float32


def test_no_gradient_reaches_the_memory_and_the_update_does_not_disturb_backward():
    for seed, use in enumerate((use_bank, use_queue)):
        gradients = []
        for update in (False, True):
            z = rows(3, seed).requires_grad_()
            memory = use(z, update)
            assert not memory.rows.requires_grad
            gradients.append(z.grad)
        assert torch.equal(*gradients) and gradients[0].abs().sum() > 0


def use_bank(z, update):
    bank, index = MemoryBank(N, D, generator=generator()), torch.tensor([4, 0, 2])
    loss, _ = MemorySoftmax()(bank(z, bank.draw(index, K, generator())))
    if update:
        bank.update(index, z)
    loss.backward()
    return bank


def use_queue(z, update):
    queue, keys = Queue(K, D, generator=generator()), rows(3, 8)
    loss, _ = MemorySoftmax()(queue(z, keys))
    if update:
        queue.enqueue(keys)
    loss.backward()
    return queue


def test_everything_comes_back_from_a_state_dict():
    queue, nce = Queue(K, D), InstDisNCE(images=N)
    queue.enqueue(rows(3))
    nce(torch.zeros(2, 3))
    other, again = Queue(K, D), InstDisNCE(images=N)
    other.load_state_dict(queue.state_dict())
    again.load_state_dict(nce.state_dict())
    assert torch.equal(other.rows, queue.rows) and int(other.pointer) == 3
    assert again.log_z == nce.log_z and bool(again.known)


def test_float32_inside_autocast():
    z = rows(3).float()
    queue = Queue(K, D, generator=generator())
    outside = MemorySoftmax()(queue(z, z))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = MemorySoftmax()(queue(z, z))
        queue.enqueue(z)
    assert inside[0].dtype == torch.float32 and torch.equal(inside[0], outside[0])
    torch.testing.assert_close(queue.rows[:3], unit(z))


def test_mistakes():
    for make, words in (
        (lambda: MemoryBank(1, D), "memory bank: 1 image"),
        (lambda: MemoryBank(N, D, momentum=1.0), "--bank-momentum: 1.0"),
        (lambda: Queue(0, D), "--negatives: 0"),
        (lambda: MemorySoftmax(0.0), "--temperature: 0.0"),
        (lambda: InstDisNCE(-1.0, N), "--temperature: -1.0"),
    ):
        with pytest.raises(UserError, match=words):
            make()
