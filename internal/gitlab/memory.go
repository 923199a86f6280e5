package gitlab

import "sync"

// memory keeps the newest things that never change once they are known.
type memory[K comparable, V any] struct {
	most int

	mu    sync.Mutex
	known map[K]V
	order []K // oldest first
}

func newMemory[K comparable, V any](most int) *memory[K, V] {
	return &memory[K, V]{most: most, known: map[K]V{}}
}

func (m *memory[K, V]) get(k K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.known[k]
	return v, ok
}

// getOr returns what is known under the key, which is v from now on if nothing was.
func (m *memory[K, V]) getOr(k K, v V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.known[k]; ok {
		return known
	}
	m.add(k, v)
	return v
}

func (m *memory[K, V]) put(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(k, v)
}

func (m *memory[K, V]) add(k K, v V) {
	if _, ok := m.known[k]; !ok {
		m.order = append(m.order, k)
	}
	m.known[k] = v
	if len(m.order) > m.most {
		delete(m.known, m.order[0])
		m.order = m.order[1:]
	}
}
