@tool
extends EditorPlugin
## Adds the dock that bakes loops into the project. The nodes need no plug-in: they register by class_name.

const Dock = preload("dock.gd")

var _dock: Control


func _enter_tree() -> void:
	_dock = Dock.new()
	_dock.name = "Loopmeter"
	_dock.baked.connect(_on_baked)
	add_control_to_dock(DOCK_SLOT_RIGHT_BL, _dock)


func _exit_tree() -> void:
	remove_control_from_docks(_dock)
	_dock.queue_free()


func _on_baked(_path: String) -> void:
	get_editor_interface().get_resource_filesystem().scan()
