//! What lives, by its id: places are used again, and generations tell the old task of a place from the new one.

use crate::TaskId;

#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all places are taken, and a box for each would be one more miss")]
enum Place<T> {
    Free { next_generation: u32 },
    Taken { generation: u32, task: T },
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    #[inline]
    pub(crate) fn insert(&mut self, task: T) -> TaskId {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            let Place::Free { next_generation: generation } = *place else {
                unreachable!("a place on the free list is free")
            };
            *place = Place::Taken { generation, task };
            return TaskId { index, generation };
        }
        let index = u32::try_from(self.places.len()).expect("the waiting room is bounded below 2^32 tasks");
        if self.places.len() == self.places.capacity() {
            // By a quarter and not by doubling: a long line must not pay for as many again that are not there.
            self.places.reserve_exact(64 + self.places.len() / 4);
        }
        self.places.push(Place::Taken { generation: 0, task });
        TaskId { index, generation: 0 }
    }

    pub(crate) fn remove(&mut self, id: TaskId) -> T {
        let next_generation = id.generation.wrapping_add(1);
        let place = std::mem::replace(&mut self.places[id.index as usize], Place::Free { next_generation });
        self.free.push(id.index);
        match place {
            Place::Taken { generation, task } if generation == id.generation => task,
            _ => unreachable!("only living tasks are removed"),
        }
    }

    pub(crate) fn get(&self, id: TaskId) -> Option<&T> {
        match self.places.get(id.index as usize) {
            Some(Place::Taken { generation, task }) if *generation == id.generation => Some(task),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, id: TaskId) -> Option<&mut T> {
        match self.places.get_mut(id.index as usize) {
            Some(Place::Taken { generation, task }) if *generation == id.generation => Some(task),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskId, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| match place {
            Place::Taken { generation, task } => Some((TaskId { index: index as u32, generation: *generation }, task)),
            Place::Free { .. } => None,
        })
    }
}

/// By place alone, for those who know that its task lives.
#[cfg(feature = "parking-lot-scheduler")]
impl<T> Slab<T> {
    pub(crate) fn at(&self, index: u32) -> &T {
        match &self.places[index as usize] {
            Place::Taken { task, .. } => task,
            Place::Free { .. } => unreachable!("an index names a task that has ended"),
        }
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> &mut T {
        match &mut self.places[index as usize] {
            Place::Taken { task, .. } => task,
            Place::Free { .. } => unreachable!("an index names a task that has ended"),
        }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().filter_map(|place| match place {
            Place::Taken { task, .. } => Some(task),
            Place::Free { .. } => None,
        })
    }

    pub(crate) fn id_of(&self, index: u32) -> TaskId {
        match self.places[index as usize] {
            Place::Taken { generation, .. } => TaskId { index, generation },
            Place::Free { .. } => unreachable!("an index names a task that has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_does_not_name_the_next_task_in_its_place() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), 'a');
        let second = slab.insert('b');
        assert_eq!(first.index, second.index);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
    }
}
